# SPDX-License-Identifier: Apache-2.0
"""The routing that engines capture: it leaves counts and logits in buffers of theirs."""
from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch

from ..plan_block import DevicePlan, StepState
from ..routing import Router, ScoreFunction, route
from .known import UnsupportedEngineError


#: Names that engines have for score functions: the op's.
SCORES: dict[str, ScoreFunction] = {"softmax": "softmax", "sigmoid": "sigmoid", "sqrtsoftplus": "sqrt_softplus"}


class RouteInto(Protocol):
    """Routes a layer's tokens and leaves counts and, where the slot says so, logits where they are read from."""

    def __call__(self, logits: torch.Tensor, router: Router, *, beta: torch.Tensor | None, plan: DevicePlan, layer: int,
                 step: StepState, counts: torch.Tensor, samples: torch.Tensor | None,
                 slot: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]: ...


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


def first_difference(stock: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]], router: Router, experts: int,
                     routes: RouteInto, device: torch.device, *, beta: torch.Tensor | None,
                     rounded: float = 0.0) -> torch.dtype | None:
    """Routes random logits by an engine's own `stock` (to weights and ids) and by what was read of it: the type of logits
    at which the two part, None where they do not. `rounded`: share of tokens that may part at bfloat16, where an engine
    rounds scores to it and the op does not."""
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(32, experts, generator=generator).to(device)
    for dtype, tolerance in ((torch.float32, 1e-4), (torch.bfloat16, 2e-2)):
        given = logits.to(dtype)
        with torch.inference_mode():
            weights, ids = stock(given)
            ours, picks = routes(
                given, router, beta=beta, plan=DevicePlan(1, experts, router.k, device), layer=0, step=StepState(device),
                counts=torch.zeros(experts, dtype=torch.int32, device=device), samples=None, slot=None)
        if weights.shape != ours.shape:
            return dtype
        # Experts at which the two may differ are tied, and have one weight; without rounding there are none.
        apart = ~torch.isclose(weights.float().sort(dim=1).values, ours.sort(dim=1).values, rtol=tolerance, atol=1e-6)
        if dtype == torch.float32:
            apart |= ids.long().sort(dim=1).values != picks.long().sort(dim=1).values
        if apart.any(dim=1).sum() > (0.0 if dtype == torch.float32 else rounded) * len(logits):
            return dtype
    return None
