# SPDX-License-Identifier: Apache-2.0
"""vLLM's routers, and ours around them: what each does, as the op is told it, and the proof that it was read right."""
from __future__ import annotations

import dataclasses
from typing import Any, Protocol

import torch
from vllm.model_executor.layers.fused_moe.config import RoutingMethodType
from vllm.model_executor.layers.fused_moe.router.base_router import BaseRouter
from vllm.model_executor.layers.fused_moe.router.fused_topk_bias_router import FusedTopKBiasRouter
from vllm.model_executor.layers.fused_moe.router.fused_topk_router import FusedTopKRouter
from vllm.model_executor.layers.fused_moe.router.grouped_topk_router import GroupedTopKRouter

from ..plan_block import DevicePlan, StepState
from ..routing import Router, route
from .compatibility import UnsupportedEngineError
from .step_buffers import StepBuffers

_SUPPORTED = ("routers that pick by softmax, sigmoid or sqrt-softplus scores, with or without a selection bias and "
              "groups (FusedTopKRouter, FusedTopKBiasRouter, GroupedTopKRouter)")
_SCORES = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "sqrt_softplus"}


class RouteInto(Protocol):
    """Routes a layer's tokens and leaves counts and, where the slot says so, logits where they are read from."""

    def __call__(self, logits: torch.Tensor, router: Router, *, beta: torch.Tensor | None, plan: DevicePlan, layer: int,
                 step: StepState, counts: torch.Tensor, samples: torch.Tensor | None,
                 slot: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]: ...


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
    if router.scoring_func not in _SCORES:
        raise _unsupported(router, f"scores by {router.scoring_func}")
    if getattr(router, "num_fused_shared_experts", 0):
        raise _unsupported(router, "appends shared experts to its picks")
    if getattr(router, "_hash_indices_table", None) is not None:
        raise _unsupported(router, "picks by a table of token ids")
    if getattr(router, "bias_vl", None) is not None:
        raise _unsupported(router, "has a second bias for image tokens")
    spec = Router(k=router.top_k, score=_SCORES[router.scoring_func],  # type: ignore[arg-type]
                  denominator="picked" if router.renormalize else "none",
                  scale=float(getattr(router, "routed_scaling_factor", 1.0)))
    return _with_groups(router, spec, experts) if kind is GroupedTopKRouter else spec


def prove(router: PricedRouter, name: str, routes: RouteInto, device: torch.device) -> None:
    """Routes random tokens by the stock router and by what was read of it. Raises UnsupportedEngineError where the two
    differ."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(32, router.experts, generator=generator).to(device)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
        given = logits.to(dtype)
        with torch.inference_mode():
            weights, ids = router.inner._compute_routing(torch.zeros(32, 8, device=device, dtype=dtype), given, None)
            ours, picks = routes(
                given, router.spec, beta=router.beta, plan=DevicePlan(1, router.experts, router.spec.k, device),
                layer=0, step=StepState(device), counts=torch.zeros(router.experts, dtype=torch.int32, device=device),
                samples=None, slot=None)
        # Experts at which the two may differ are tied, and have one weight; without rounding there are none.
        alike = weights.shape == ours.shape and torch.allclose(
            weights.float().sort(dim=1).values, ours.sort(dim=1).values, rtol=tolerance, atol=1e-6)
        if alike and dtype == torch.float32:
            alike = torch.equal(ids.long().sort(dim=1).values, picks.long().sort(dim=1).values)
        if not alike:
            raise _unsupported(router.inner, f"does not route {dtype} logits as {router.spec} would, at {name}")


def route_into(device: torch.device) -> RouteInto:
    """The compiled op; on the CPU, where the package is without it, the same rule in PyTorch."""
    try:
        from .. import ops
    except ImportError as error:
        if device.type == "cpu":
            return route_in_torch
        raise UnsupportedEngineError(f"thermoe's op is needed for {device}: {error}") from error
    if device.type not in (("cpu", "cuda") if ops.built_with_cuda else ("cpu",)):
        raise UnsupportedEngineError(f"thermoe's op was built without {device.type}, and the model is on {device}: "
                                     "`pip install ./python` builds it with CUDA where there is an nvcc")
    return ops.topk_route_into  # type: ignore[no-any-return]


def route_in_torch(logits: torch.Tensor, router: Router, *, beta: torch.Tensor | None, plan: DevicePlan, layer: int,
                   step: StepState, counts: torch.Tensor, samples: torch.Tensor | None,
                   slot: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """`route_into` on the CPU, by thermoe.routing: it reads the step's state on the host."""
    rows, valid = len(logits), int(step.valid)
    tokens = rows if valid < 0 else min(valid, rows)
    routing = route(logits[:tokens], router, plan=plan, layer=layer, step=step, beta=beta)
    weights = torch.zeros(rows, router.k)
    ids = torch.full((rows, router.k), int(routing.ids[0, 0]) if tokens else 0, dtype=torch.int32)
    weights[:tokens], ids[:tokens] = routing.weights, routing.ids
    counts.copy_(routing.counts)
    if samples is not None and slot is not None and int(slot) in (0, 1):
        kept = min(tokens, samples.shape[1])
        samples[int(slot), :kept].copy_(logits[:kept])
    return weights, ids


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
