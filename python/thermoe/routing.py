# SPDX-License-Identifier: Apache-2.0
"""How a model's router picks and weighs under a plan, in plain PyTorch (docs/theory.md, routing and activation pricing).

The readable twin of `thermoe::topk_route` (src/kernels/topk_route.h): the same rule in the same units, for any device
and under torch.compile, where the compiled op is not installed. Sums may round otherwise; picks differ only at ties of
rounded scores.
"""
import dataclasses
from typing import Literal, NamedTuple, Optional

import torch

Score = Literal["softmax", "sigmoid", "sqrt_softplus"]
Denominator = Literal["picked", "reference", "none"]


@dataclasses.dataclass(frozen=True)
class RouterSpec:
    """A model's router, as src/core/router_spec.h has it; its own selection bias is an argument of `route`."""
    experts: int
    k: int
    score: Score = "softmax"
    groups: int = 1  # experts are so many equal runs; a token picks inside its `groups_kept` best
    groups_kept: int = 1
    denominator: Denominator = "picked"
    routed_scale: float = 1.0
    loss_scores: Literal["unbiased", "biased"] = "unbiased"


class LayerPlan(NamedTuple):
    """One layer of a plan, where it routes: views of the plan's block (docs/adr/0003-plan-buffer.md)."""
    selection_bias: torch.Tensor  # [experts] f32, in units of u, subtracted
    activation_price: torch.Tensor  # [experts] f32, in units of u; may be infinite
    counts: torch.Tensor  # [2] i32: k; k_min, a token's k_min best are never priced out
    shares: torch.Tensor  # [2] f32: of the tokens that take one more, and that are sure of one more

    @classmethod
    def of(cls, block: torch.Tensor, layers: int, experts: int, layer: int) -> "LayerPlan":
        """The layer's row of a block of bytes, u8. What is copied into the block is seen here."""
        def part(at: int, size: int, dtype: torch.dtype) -> torch.Tensor:
            return block[at:at + size].view(dtype)

        row = 64 + 32 * layer
        bias = 64 + 32 * layers + 4 * experts * layer
        return cls(part(bias, 4 * experts, torch.float32),
                   part(bias + 4 * experts * layers, 4 * experts, torch.float32),
                   part(row, 8, torch.int32), part(row + 8, 8, torch.float32))


class Routing(NamedTuple):
    weights: torch.Tensor  # [tokens, k] f32; 0 in a slot without a pick of its own
    experts: torch.Tensor  # [tokens, k] i64; a slot without a pick repeats the token's best: no engine knows empty ones
    picked: torch.Tensor  # [tokens, k] bool: the slot is a pick
    kept_mass: torch.Tensor  # [tokens] f32: the share of its own top-k mass that a token keeps


def scores_of(logits: torch.Tensor, score: Score) -> torch.Tensor:
    """p of f32 gate logits."""
    if score == "softmax":
        return logits.softmax(dim=-1)
    if score == "sigmoid":
        return logits.sigmoid()
    return torch.nn.functional.softplus(logits).sqrt()


def route(logits: torch.Tensor, spec: RouterSpec, plan: LayerPlan, *, model_bias: Optional[torch.Tensor] = None,
          priced: bool = True, layer: int = 0, step: Optional[torch.Tensor] = None) -> Routing:
    """Routes the tokens of one step. logits [tokens, experts] of any float type, all of them tokens of the batch.

    Not `priced`: a prefill step, whose tokens run every expert anyway. `step` [] i64 rotates the plan's shares.
    """
    logits = logits.float()
    step = torch.zeros((), dtype=torch.int64, device=logits.device) if step is None else step
    probabilities = scores_of(logits, spec.score)
    own = logits if model_bias is None else probabilities + model_bias.float()
    if spec.groups_kept < spec.groups:
        by_score = probabilities if model_bias is None else own
        own = own.masked_fill(~_own_groups(by_score, spec), -torch.inf)

    own_picks = _best_first(own)[:, :spec.k]
    mass = probabilities.gather(1, own_picks).sum(1, keepdim=True)  # s
    selection = torch.where(plan.selection_bias.any(),
                            (own if model_bias is not None else _masked_like(probabilities, own))
                            - plan.selection_bias * mass, own)
    wanted = _counts(plan, 0, logits, layer, step).clamp(max=spec.k)
    slot = torch.arange(spec.k, device=logits.device)
    order = _best_first(selection)
    picks = order[:, :spec.k]
    picked = slot < wanted
    if priced:
        utility = probabilities if spec.loss_scores == "unbiased" or model_bias is None else probabilities + model_bias
        guaranteed = _counts(plan, 1, logits, layer, step)
        active = _active(utility / mass, selection, picks, picked, slot < guaranteed, plan.activation_price)
        left = selection.masked_fill(~active, -torch.inf)
        picks = _best_first(left)[:, :spec.k]
        picked = picked & (left.gather(1, picks) > -torch.inf)
    return _weighed(probabilities, spec, picks, picked, own_picks, mass)


def _best_first(scores: torch.Tensor) -> torch.Tensor:
    """Experts by falling score; of equal ones the lowest id first, which torch.topk does not promise."""
    return scores.sort(dim=-1, descending=True, stable=True).indices


def _masked_like(scores: torch.Tensor, masked: torch.Tensor) -> torch.Tensor:
    return scores.masked_fill(masked == -torch.inf, -torch.inf)


def _own_groups(scores: torch.Tensor, spec: RouterSpec) -> torch.Tensor:
    """[tokens, experts]: whether an expert is in one of the token's best groups, by their two best scores."""
    by_group = scores.view(-1, spec.groups, spec.experts // spec.groups)
    rank = by_group.topk(min(2, by_group.shape[2]), dim=-1).values.sum(-1)
    kept = torch.zeros_like(rank, dtype=torch.bool).scatter(1, _best_first(rank)[:, :spec.groups_kept], True)
    return kept.unsqueeze(-1).expand_as(by_group).reshape(scores.shape)


def _counts(plan: LayerPlan, which: int, logits: torch.Tensor, layer: int, step: torch.Tensor) -> torch.Tensor:
    """[tokens, 1]: so many a token, a share of the (token, step) pairs one more, spread evenly (core/spread_extra.h)."""
    tokens = logits.shape[0]
    turn = (torch.arange(tokens, device=logits.device) + step + layer) % max(tokens, 1)
    i = (step * tokens + turn).double()
    share = plan.shares[which].double()
    extra = torch.floor((i + 1) * share) > torch.floor(i * share)
    return (plan.counts[which] + extra).unsqueeze(1)


def _active(utility: torch.Tensor, selection: torch.Tensor, picks: torch.Tensor, picked: torch.Tensor,
            guaranteed: torch.Tensor, price: torch.Tensor) -> torch.Tensor:
    """[experts]: G, and what the batch would lose at least its price without."""
    experts = selection.shape[1]

    def union(slots: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(selection, dtype=torch.bool).scatter(1, picks, slots).any(0)

    in_union = union(picked)
    own = torch.zeros_like(selection, dtype=torch.bool).scatter(1, picks, picked)
    others = selection.masked_fill(own | ~in_union, -torch.inf)
    best, next_expert = others.max(dim=1, keepdim=True)
    fallback = torch.where(best > -torch.inf, utility.gather(1, next_expert), 0.0)
    lost = torch.where(picked, (utility.gather(1, picks) - fallback).clamp(min=0.0), 0.0)
    loss = torch.zeros(experts, device=selection.device).index_add(0, picks.reshape(-1), lost.reshape(-1))
    return union(picked & guaranteed) | (in_union & (loss >= price))


def _weighed(probabilities: torch.Tensor, spec: RouterSpec, picks: torch.Tensor, picked: torch.Tensor,
             own_picks: torch.Tensor, mass: torch.Tensor) -> Routing:
    chosen = torch.where(picked, probabilities.gather(1, picks), 0.0)
    kept = chosen.sum(1, keepdim=True)
    if spec.denominator == "none":
        weights = chosen
    else:
        denominator = kept if spec.denominator == "picked" else mass
        shared = picked / picked.sum(1, keepdim=True).clamp(min=1)
        weights = torch.where(denominator > 0, chosen / denominator, shared)
    same = (picked & (picks == own_picks)).all(1)
    kept_mass = torch.where(same | (mass == 0).squeeze(1), 1.0, (kept / mass).clamp(max=1.0).squeeze(1))
    return Routing(weights=weights * spec.routed_scale, experts=torch.where(picked, picks, picks[:, :1]), picked=picked,
                   kept_mass=kept_mass)
