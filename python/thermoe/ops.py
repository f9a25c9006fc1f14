# SPDX-License-Identifier: Apache-2.0
"""The ops of src/kernels on tensors of torch 2.10 or later.

They are torch.ops.thermoe.topk_route, .grouped_experts and .fused_dequant_linear, with fake implementations: they work
under torch.compile and, on a device, in CUDA graphs: they run in torch's current stream, do not synchronise, and
allocate nothing but their outputs and workspaces, by torch. They have no gradients. What is wrong with an argument
raises ValueError.
"""
from __future__ import annotations

import ctypes
from typing import NamedTuple

try:
    import torch
except ModuleNotFoundError as error:
    raise ModuleNotFoundError("thermoe.ops needs torch 2.10 or later: pip install torch", name="torch") from error

from ._libraries import library_path
from .packing import (Int4Experts, Int4Matrix, PanelExperts, pack_experts, pack_panels, quantise_experts,
                      quantise_int4)
from .plan_block import DevicePlan, StepState
from .routing import Router

__all__ = ["DevicePlan", "Int4Experts", "Int4Matrix", "MASKED_LOGIT", "MaskedRoute", "PanelExperts", "Route", "Router",
           "StepState", "built_with_cuda", "fused_dequant_linear", "grouped_experts", "masked_logits", "pack_experts",
           "pack_panels", "quantise_experts", "quantise_int4", "topk_route", "topk_route_into"]

if tuple(int(part) for part in torch.__version__.split(".")[:2]) < (2, 10):
    raise ImportError(f"thermoe.ops needs torch 2.10 or later; this is {torch.__version__}")
torch.ops.load_library(library_path("thermoe_torch"))

#: Whether the ops of CUDA devices were built. Whether there is a device is torch's to say.
built_with_cuda = bool(ctypes.CDLL(library_path("thermoe_torch")).thermoe_built_with_cuda())

#: What masked_logits gives an expert that no token runs; one that only other tokens run has half of it.
MASKED_LOGIT = -1e30


class Route(NamedTuple):
    weights: torch.Tensor    #: float32 [tokens, slots], best pick first; 0 in an empty slot
    ids: torch.Tensor        #: int32 [tokens, slots]; -1 in an empty slot, or an expert that runs (fill_slots)
    counts: torch.Tensor     #: int32 [experts], tokens that an expert received
    kept_mass: torch.Tensor  #: float32 [tokens], at most 1


class MaskedRoute(NamedTuple):
    logits: torch.Tensor     #: float32 [tokens, experts]; what a token does not run is at MASKED_LOGIT or half of it
    counts: torch.Tensor
    kept_mass: torch.Tensor


def topk_route(logits: torch.Tensor, router: Router, *, beta: torch.Tensor | None = None,
               plan: DevicePlan | None = None, layer: int = 0, step: StepState | None = None,
               slots: int | None = None, fill_slots: bool = False) -> Route:
    """Picks each token's experts, priced by the plan, and their mixing weights (kernels/topk_route.h).

    logits [tokens, experts] float32, bfloat16 or float16; beta [experts] float32, the model's selection bias; layer:
    which of the plan's; slots: columns of the result, the router's k where absent, as many as the largest k that a
    plan may ask for. fill_slots: an empty slot repeats an expert that runs, at weight 0, for engines that know no -1.
    """
    return Route(*torch.ops.thermoe.topk_route(
        logits, router.k, slots=slots, fill_slots=fill_slots, **_routing(router, beta, plan, layer, step)))


def topk_route_into(logits: torch.Tensor, router: Router, *, beta: torch.Tensor | None = None,
                    plan: DevicePlan | None, layer: int, step: StepState | None, counts: torch.Tensor,
                    samples: torch.Tensor | None = None, slot: torch.Tensor | None = None,
                    ) -> tuple[torch.Tensor, torch.Tensor]:
    """The same routing for an engine that captures its layers in graphs: (weights float32, ids int32), [tokens, k].

    Every slot is filled: an empty one repeats an expert that runs, at weight 0. counts int32 [experts] and samples are
    buffers of the caller's, at addresses that a captured graph keeps, and are written. samples [2, rows, experts] in
    the type of `logits`, a layer's part of a larger tensor too: where the word slot (int32 [1], on the device) is 0 or
    1, the first `rows` of the batch that are no padding are left there, bit for bit; any other number writes nothing.
    The word is read when the op runs: change it in the stream, before a replay, as plan and step; copy a slot away in
    the same stream, or before the word names it again. A plan may not ask for more than the router's k experts.
    """
    return torch.ops.thermoe.topk_route.into(
        logits, router.k, counts, samples=samples, slot=slot, **_routing(router, beta, plan, layer, step))


def masked_logits(logits: torch.Tensor, router: Router, *, beta: torch.Tensor | None = None,
                  plan: DevicePlan | None = None, layer: int = 0, step: StepState | None = None,
                  slots: int | None = None) -> MaskedRoute:
    """The same routing as logits, for engines that route for themselves: a token's chosen experts keep theirs, all
    others sink out of reach. The logits that stay are exact in the type that they came in."""
    return MaskedRoute(*torch.ops.thermoe.topk_route.masked(
        logits, router.k, slots=slots, **_routing(router, beta, plan, layer, step)))


def grouped_experts(hidden: torch.Tensor, weights: torch.Tensor, ids: torch.Tensor,
                    experts: PanelExperts | Int4Experts) -> torch.Tensor:
    """The weighted sum of each token's experts, [tokens, d_model] in the type of `hidden` (kernels/grouped_experts.h).

    weights float32 and ids int32 [tokens, slots], topk_route's or any. On CUDA hidden is rounded to bfloat16 and the
    experts are bfloat16 or int4; on the CPU the sums are float32.
    """
    e = experts
    x = hidden.float() if hidden.device.type == "cpu" else hidden
    if isinstance(e, Int4Experts):
        out = torch.ops.thermoe.grouped_experts.int4(
            x, weights, ids, *((None,) * 3 if e.gate is None else e.gate[:3]), *e.up[:3], *e.down[:3], d_ff=e.d_ff,
            kind=e.kind, up_bias=e.up_bias, down_bias=e.down_bias)
    else:
        out = torch.ops.thermoe.grouped_experts(x, weights, ids, e.gate, e.up, e.down, d_ff=e.d_ff, kind=e.kind,
                                                up_bias=e.up_bias, down_bias=e.down_bias)
    return out.to(hidden.dtype)


def fused_dequant_linear(x: torch.Tensor, weight: Int4Matrix, bias: torch.Tensor | None = None, *,
                         epilogue: str = "none", up: Int4Matrix | None = None,
                         up_bias: torch.Tensor | None = None) -> torch.Tensor:
    """y = x W^T + bias with W in int4, unpacked on the way, [tokens, outputs] in the type of x
    (kernels/fused_dequant_linear.h).

    x [tokens, inputs], on CUDA bfloat16 or float16; biases [outputs] float32. epilogue: none, relu, gelu (tanh), or
    silu_mul: silu(y) * (x up^T + up_bias).
    """
    y = x.float() if x.device.type == "cpu" else x
    words, scales, zero_points = (None, None, None) if up is None else up[:3]
    return torch.ops.thermoe.fused_dequant_linear(
        y, *weight, bias=bias, epilogue=epilogue, up_words=words, up_scales=scales, up_zero_points=zero_points,
        up_bias=up_bias).to(x.dtype)


def _routing(router: Router, beta: torch.Tensor | None, plan: DevicePlan | None, layer: int,
             step: StepState | None) -> dict[str, object]:
    return {"beta": beta, "score": router.score, "groups": router.groups, "groups_kept": router.groups_kept,
            "denominator": router.denominator, "scale": router.scale, "loss_scores": router.loss_scores,
            "plan": None if plan is None else plan.block, "layers": 0 if plan is None else plan.layers, "layer": layer,
            "step": None if step is None else step.tensor}


@torch.library.register_fake("thermoe::topk_route")
def _(logits, k, *, slots=None, **_):
    tokens, experts = logits.shape
    slots = k if slots is None else slots
    return (logits.new_empty((tokens, slots), dtype=torch.float32), logits.new_empty((tokens, slots), dtype=torch.int32),
            logits.new_empty((experts,), dtype=torch.int32), logits.new_empty((tokens,), dtype=torch.float32))


@torch.library.register_fake("thermoe::topk_route.into")
def _(logits, k, counts, **_):
    tokens = logits.shape[0]
    return (logits.new_empty((tokens, k), dtype=torch.float32), logits.new_empty((tokens, k), dtype=torch.int32))


@torch.library.register_fake("thermoe::topk_route.masked")
def _(logits, k, **_):
    tokens, experts = logits.shape
    return (logits.new_empty((tokens, experts), dtype=torch.float32), logits.new_empty((experts,), dtype=torch.int32),
            logits.new_empty((tokens,), dtype=torch.float32))


@torch.library.register_fake("thermoe::grouped_experts")
@torch.library.register_fake("thermoe::grouped_experts.int4")
def _(hidden, *_, **__):
    return torch.empty_like(hidden, memory_format=torch.contiguous_format)


@torch.library.register_fake("thermoe::fused_dequant_linear")
def _(x, words, scales, zero_points, outputs, **_):
    return x.new_empty((x.shape[0], outputs))
