# SPDX-License-Identifier: Apache-2.0
"""How a model's router picks and weighs under a plan, in plain PyTorch (docs/theory.md, routing and activation pricing).

The readable twin of `thermoe.ops.topk_route` (src/kernels/topk_route.h) with its slots filled: the same rule on any
device, for where the compiled op is not. Sums may round otherwise; picks differ only at ties of rounded scores.
"""
import dataclasses
from typing import Literal, NamedTuple, Optional

import torch

from .plan_block import DevicePlan, StepState

Denominator = Literal["picked", "reference", "none"]
ScoreFunction = Literal["softmax", "sigmoid", "sqrt_softplus"]


@dataclasses.dataclass(frozen=True)
class Router:
    """How a model's router turns gate logits into picks and weights (docs/theory.md, src/core/router_spec.h). How many
    experts there are the logits say; the model's own selection bias, beta, is an argument of its own."""
    k: int
    score: ScoreFunction = "softmax"
    groups: int = 1  # equal runs of experts; a token picks inside its `groups_kept` best
    groups_kept: int = 1
    denominator: Denominator = "picked"  # weights over the sum of: picked, reference (what the model alone picks), none
    scale: float = 1.0  # factor on every weight
    loss_scores: Literal["unbiased", "biased"] = "unbiased"

    def weighed_by(self, denominator: Denominator) -> "Router":
        """With other weights where a plan drops picks; a router that does not renormalise keeps its own."""
        return self if self.denominator == "none" else dataclasses.replace(self, denominator=denominator)


class Routing(NamedTuple):
    weights: torch.Tensor  # [tokens, k] f32; 0 in a slot without a pick of its own
    ids: torch.Tensor  # [tokens, k] i64; a slot without a pick repeats the token's best: no engine knows empty ones
    counts: torch.Tensor  # [experts] i32: tokens that an expert received
    kept_mass: torch.Tensor  # [tokens] f32: the share of its own top-k mass that a token keeps


def route(logits: torch.Tensor, router: Router, *, plan: DevicePlan, layer: int, step: StepState,
          beta: Optional[torch.Tensor] = None) -> Routing:
    """Routes the tokens of one step. logits [tokens, experts] of any float type, all of them tokens of the batch."""
    logits = logits.float()
    p = _scores(logits, router)
    score = p if beta is None else p + beta.float()
    own = logits if beta is None else score
    if router.groups_kept < router.groups:
        outside = ~_own_groups(score, router)
        own, score = own.masked_fill(outside, -torch.inf), score.masked_fill(outside, -torch.inf)
    own_picks = _best_first(own)[:, :router.k]
    mass = p.gather(1, own_picks).sum(1, keepdim=True)  # s

    bias = plan.selection_bias[layer]
    key = torch.where(bias.any(), score - bias * mass, own)
    slot = torch.arange(router.k, device=logits.device)
    picks = _best_first(key)[:, :router.k]
    picked = slot < _counts(plan.k, plan.extra_k_share, layer, step, len(logits))
    guaranteed = slot < _counts(plan.k_min, plan.extra_k_min_share, layer, step, len(logits))
    price = torch.where(step.phase == 1, 0.0, plan.activation_price[layer])  # in prefill everything runs anyway
    value = p if router.loss_scores == "unbiased" or beta is None else p + beta.float()
    left = key.masked_fill(~_active(value / mass, key, picks, picked, guaranteed, price), -torch.inf)
    picks = _best_first(left)[:, :router.k]
    picked = picked & (left.gather(1, picks) > -torch.inf)
    return _weighed(p, router, picks, picked, own_picks, mass)


def count(ids: torch.Tensor, picked: torch.Tensor, experts: int) -> torch.Tensor:
    """[experts] i32: tokens that each expert receives."""
    zeros = torch.zeros(experts, dtype=torch.int32, device=ids.device)
    return zeros.index_add(0, ids.reshape(-1).long(), picked.reshape(-1).int())


def _scores(logits: torch.Tensor, router: Router) -> torch.Tensor:
    if router.score == "softmax":
        return logits.softmax(dim=-1)
    if router.score == "sigmoid":
        return logits.sigmoid()
    return torch.nn.functional.softplus(logits).sqrt()


def _best_first(scores: torch.Tensor) -> torch.Tensor:
    """Experts by falling score; of equal ones the lowest id first, which torch.topk does not promise."""
    return scores.sort(dim=-1, descending=True, stable=True).indices


def _own_groups(scores: torch.Tensor, router: Router) -> torch.Tensor:
    """[tokens, experts]: whether an expert is in one of the token's best groups, by their two best scores."""
    by_group = scores.view(-1, router.groups, scores.shape[1] // router.groups)
    rank = by_group.topk(min(2, by_group.shape[2]), dim=-1).values.sum(-1)
    kept = torch.zeros_like(rank, dtype=torch.bool).scatter(1, _best_first(rank)[:, :router.groups_kept], True)
    return kept.unsqueeze(-1).expand_as(by_group).reshape(scores.shape)


def _counts(whole: torch.Tensor, share: torch.Tensor, layer: int, step: StepState, tokens: int) -> torch.Tensor:
    """[tokens, 1]: so many a token, a share of the (token, step) pairs one more, spread evenly (core/spread_extra.h)."""
    number = step.tensor[:2].view(torch.int64)
    turn = (torch.arange(tokens, device=number.device) + number + layer) % max(tokens, 1)
    i = (number * tokens + turn).double()
    part = share[layer].double()
    return (whole[layer] + (torch.floor((i + 1) * part) > torch.floor(i * part))).unsqueeze(1)


def _active(value: torch.Tensor, key: torch.Tensor, picks: torch.Tensor, picked: torch.Tensor, guaranteed: torch.Tensor,
            price: torch.Tensor) -> torch.Tensor:
    """[experts]: G, and of U what the batch would lose at least its price without."""
    def holders(slots: torch.Tensor) -> torch.Tensor:
        return torch.zeros_like(key, dtype=torch.bool).scatter(1, picks, slots)

    own = holders(picked)
    union = own.any(0)
    best, following = key.masked_fill(own | ~union, -torch.inf).max(dim=1, keepdim=True)
    fallback = torch.where(best > -torch.inf, value.gather(1, following), 0.0)
    lost = torch.where(picked, (value.gather(1, picks) - fallback).clamp(min=0.0), 0.0)
    loss = torch.zeros_like(price).index_add(0, picks.reshape(-1), lost.reshape(-1))
    return holders(picked & guaranteed).any(0) | (union & (loss >= price))


def _weighed(p: torch.Tensor, router: Router, picks: torch.Tensor, picked: torch.Tensor, own_picks: torch.Tensor,
             mass: torch.Tensor) -> Routing:
    chosen = torch.where(picked, p.gather(1, picks), 0.0)
    kept = chosen.sum(1, keepdim=True)
    if router.denominator == "none":
        weights = chosen
    else:
        denominator = kept if router.denominator == "picked" else mass
        shared = picked / picked.sum(1, keepdim=True).clamp(min=1)
        weights = torch.where(denominator > 0, chosen / denominator, shared)
    whole = (picked & (picks == own_picks)).all(1) | (mass == 0).squeeze(1)
    return Routing(weights=weights * router.scale, ids=torch.where(picked, picks, picks[:, :1]),
                   counts=count(picks, picked, p.shape[1]),
                   kept_mass=torch.where(whole, 1.0, (kept / mass).clamp(max=1.0).squeeze(1)))
