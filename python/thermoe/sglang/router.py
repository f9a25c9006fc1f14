# SPDX-License-Identifier: Apache-2.0
"""SGLang's routing of a layer (TopKConfig), and ours in its place: a custom_routing_function, which select_experts calls."""
from __future__ import annotations

import dataclasses

import torch
from sglang.srt.layers.moe.topk import TopKConfig, TopKOutputFormat, select_experts

from ..engine.known import UnsupportedEngineError
from ..engine.route_into import SCORES, RouteInto, first_difference
from ..engine.step_buffers import StepBuffers
from ..routing import Router


class PricedRouting:
    """Routes a layer's tokens under the plan.

    The selection bias is read where the configuration has it, in each call: a captured graph then has the address that one
    of SGLang's own routing would have. SGLang multiplies by the model's scale, maps ids to replicas and masks padding
    afterwards, as it does with what it routed itself.
    """

    def __init__(self, config: TopKConfig, routes: RouteInto, buffers: StepBuffers, layer: int, spec: Router) -> None:
        self._config, self._routes, self._buffers, self._layer = config, routes, buffers, layer
        self._spec = dataclasses.replace(spec, scale=1.0)

    def __call__(self, hidden_states: torch.Tensor, gating_output: torch.Tensor, topk: int,
                 renormalize: bool) -> tuple[torch.Tensor, torch.Tensor]:
        buffers, layer = self._buffers, self._layer
        return self._routes(gating_output, self._spec, beta=beta_of(self._config), plan=buffers.plan, layer=layer,
                            step=buffers.step, counts=buffers.counts[layer],
                            samples=buffers.samples_of(layer, gating_output), slot=buffers.slot)


def beta_of(config: TopKConfig) -> torch.Tensor | None:
    return None if config.correction_bias is None else config.correction_bias.data.float()


def read_router(config: TopKConfig, name: str) -> Router:
    """What SGLang does with a layer's logits. Raises UnsupportedEngineError where that is something else."""
    if config.custom_routing_function is not None:
        raise _unsupported(name, "the model has a routing function of its own")
    if config.num_shared_topk_slots:
        raise _unsupported(name, "shared experts are appended to its picks; serve with --disable-shared-experts-fusion")
    if config.output_format is not TopKOutputFormat.STANDARD:
        found = "none yet" if config.output_format is None else config.output_format.name
        raise _unsupported(name, f"the experts' kernel routes by itself (its TopK's output is {found}) and would ignore a plan; "
                                 "serve with --moe-runner-backend triton")
    if config.sqrtsoftplus_log1p or config.scoring_func not in SCORES:
        raise _unsupported(name, f"it scores by {config.scoring_func}{' through log1p' if config.sqrtsoftplus_log1p else ''}")
    scaled = config.apply_routed_scaling_factor_on_output and config.routed_scaling_factor
    spec = Router(k=config.top_k, score=SCORES[config.scoring_func],
                  denominator="picked" if config.renormalize else "none", scale=float(scaled or 1.0))
    return _with_groups(config, spec, name) if config.use_grouped_topk else spec


def prove(config: TopKConfig, spec: Router, experts: int, name: str, layer_id: int, routes: RouteInto,
          device: torch.device) -> None:
    """Routes random tokens by SGLang and by what was read of it. Raises UnsupportedEngineError where the two differ."""
    own = dataclasses.replace(config, allow_routed_experts_capture=False)

    def stock(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.zeros(len(logits), 8, device=device, dtype=logits.dtype)
        out = select_experts(hidden, logits, own, layer_id=layer_id)
        return out.topk_weights, out.topk_ids

    if (dtype := first_difference(stock, spec, experts, routes, device, beta=beta_of(config),
                                  rounded=0.25)) is not None:
        raise _unsupported(name, f"SGLang does not route {dtype} logits as {spec} would")


def bind(config: TopKConfig, routing: PricedRouting) -> None:
    """Has SGLang's select_experts call ours; groups are ours to keep then."""
    config.custom_routing_function = routing
    config.use_grouped_topk = False


def _with_groups(config: TopKConfig, spec: Router, name: str) -> Router:
    assert config.num_expert_group is not None and config.topk_group is not None
    groups, kept = int(config.num_expert_group), int(config.topk_group)
    if config.correction_bias is not None:
        spec = dataclasses.replace(spec, score="sigmoid")  # whatever scoring_func says
    elif groups != kept:
        raise _unsupported(name, "it keeps the groups of the best single expert, where the op takes the best two")
    return spec if groups == kept else dataclasses.replace(spec, groups=groups, groups_kept=kept)


def _unsupported(name: str, reason: str) -> UnsupportedEngineError:
    return UnsupportedEngineError(f"{name} cannot be routed: {reason}. Supported is routing by softmax, sigmoid or sqrt-softplus "
                                  "scores, with or without a selection bias and groups")
