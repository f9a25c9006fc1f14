# SPDX-License-Identifier: Apache-2.0
"""vLLM's routers, and ours around them: what each does, as the op is told it, and the proof that it was read right."""
from __future__ import annotations

import dataclasses
from typing import Any

import torch
from vllm.model_executor.layers.fused_moe.config import RoutingMethodType
from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter
from vllm.model_executor.layers.fused_moe.router.fused_topk_bias_router import FusedTopKBiasRouter
from vllm.model_executor.layers.fused_moe.router.fused_topk_router import FusedTopKRouter
from vllm.model_executor.layers.fused_moe.router.grouped_topk_router import GroupedTopKRouter

from ..engine.known import UnsupportedEngineError
from ..engine.route_into import SCORES, RouteInto, first_difference
from ..engine.step_buffers import StepBuffers
from ..routing import Router

_SUPPORTED = ("routers that pick by softmax, sigmoid or sqrt-softplus scores, with or without a selection bias and "
              "groups (FusedTopKRouter, FusedTopKBiasRouter, GroupedTopKRouter)")


class PricedRouter(BaseRouter):
    """Around one of vLLM's routers: routes as that one does until it is bound, then under the plan.

    It is there when the layer is built, as the layer's kernel is chosen then: one that takes what a router says. It
    holds no parameter; the selection bias is read where the stock router has it, in each call, as that one does: a
    captured graph then has the address that one of the stock router would have, which loading weights keeps.
    """

    def __init__(self, inner: BaseRouter, experts: int) -> None:
        super().__init__(top_k=inner.top_k, global_num_experts=inner.global_num_experts, eplb_state=inner.eplb_state)
        self.inner = inner
        self.experts = experts  # the width of the logits: global_num_experts counts replicas too
        self.spec = read_router(inner, experts)
        self._bound: tuple[RouteInto, StepBuffers, int, Router] | None = None

    @property
    def routing_method_type(self) -> RoutingMethodType:
        return RoutingMethodType.Custom

    @property
    def supports_monolithic_kernels(self) -> bool:
        return False

    @property
    def beta(self) -> torch.Tensor | None:
        bias = getattr(self.inner, "e_score_correction_bias", None)
        return None if bias is None else bias.data.float()

    def bind(self, route_into: RouteInto, buffers: StepBuffers, layer: int, spec: Router) -> None:
        """Has it route under the buffers' plan, as layer `layer` of it."""
        self._bound = (route_into, buffers, layer, spec)

    def _compute_routing(self, hidden_states: torch.Tensor, router_logits: torch.Tensor,
                         indices_type: torch.dtype | None, *,
                         input_ids: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        if self._bound is None:
            return self.inner._compute_routing(hidden_states, router_logits, indices_type, input_ids=input_ids)
        route_into, buffers, layer, spec = self._bound
        return route_into(router_logits, spec, beta=self.beta, plan=buffers.plan, layer=layer, step=buffers.step,
                          counts=buffers.counts[layer], samples=buffers.samples_of(layer, router_logits),
                          slot=buffers.slot)


def read_router(router: Any, experts: int) -> Router:
    """What a stock router does with logits of `experts`. Raises UnsupportedEngineError where it is something else."""
    kind = type(router)
    if kind not in (FusedTopKRouter, FusedTopKBiasRouter, GroupedTopKRouter):
        raise _unsupported(router, "is not one that can be told how to route")
    if router.scoring_func not in SCORES:
        raise _unsupported(router, f"scores by {router.scoring_func}")
    if getattr(router, "num_fused_shared_experts", 0):
        raise _unsupported(router, "appends shared experts to its picks")
    if getattr(router, "_hash_indices_table", None) is not None:
        raise _unsupported(router, "picks by a table of token ids")
    if getattr(router, "bias_vl", None) is not None:
        raise _unsupported(router, "has a second bias for image tokens")
    spec = Router(k=router.top_k, score=SCORES[router.scoring_func],
                  denominator="picked" if router.renormalize else "none",
                  scale=float(getattr(router, "routed_scaling_factor", 1.0)))
    return _with_groups(router, spec, experts) if kind is GroupedTopKRouter else spec


def prove(router: PricedRouter, name: str, routes: RouteInto, device: torch.device) -> None:
    """Routes random tokens by the stock router and by what was read of it. Raises UnsupportedEngineError where the two
    differ."""
    def stock(logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = torch.zeros(len(logits), 8, device=device, dtype=logits.dtype)
        weights, ids = router.inner._compute_routing(hidden, logits, None)
        return weights, ids

    if (dtype := first_difference(stock, router.spec, router.experts, routes, device, beta=router.beta)) is not None:
        raise _unsupported(router.inner, f"does not route {dtype} logits as {router.spec} would, at {name}")


def _with_groups(router: Any, spec: Router, experts: int) -> Router:
    groups, kept = int(router.num_expert_group), int(router.topk_group)
    biased = router.e_score_correction_bias is not None
    if experts <= groups or experts % groups:  # it routes without groups then, and without a bias by softmax alone
        return spec if biased else dataclasses.replace(spec, score="softmax", scale=1.0)
    if groups == kept:
        return spec
    if not biased:
        raise _unsupported(router, "keeps the groups of the best single expert, where the op takes the best two")
    return dataclasses.replace(spec, groups=groups, groups_kept=kept)


def _unsupported(router: Any, reason: str) -> UnsupportedEngineError:
    return UnsupportedEngineError(f"{type(router).__name__} {reason}. Supported are {_SUPPORTED}")
