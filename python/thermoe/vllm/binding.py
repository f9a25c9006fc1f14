# SPDX-License-Identifier: Apache-2.0
"""A loaded model's MoE layers, found, checked and told what they route under."""
from __future__ import annotations

import dataclasses
from typing import Any

import torch
from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

from ..engine.known import UnsupportedEngineError, require_one_kind
from ..engine.route_into import RouteInto
from ..engine.step_buffers import StepBuffers
from ..engine.steps import ModelFacts
from ..routing import Denominator
from .router import PricedRouter, prove


@dataclasses.dataclass(frozen=True)
class Layer:
    """One MoE layer, ours to route."""
    name: str
    runner: MoERunner
    router: PricedRouter


def find_layers(model: torch.nn.Module, refused: list[str]) -> list[Layer]:
    """The model's MoE layers in its order, which is the plan's. Raises UnsupportedEngineError where one is not ours.

    refused: why routers that were built were left as vLLM's.
    """
    runners = [(name, module) for name, module in model.named_modules() if isinstance(module, MoERunner)]
    if not runners:
        raise UnsupportedEngineError(f"{type(model).__name__} has no MoE layer that thermoe knows (none is a MoERunner)"
                                     ": take its configuration away to serve this model")
    layers = []
    for name, runner in runners:
        router: Any = runner.router
        if not isinstance(router, PricedRouter):
            why = "; ".join(dict.fromkeys(refused)) or f"the model gives the layer a {type(router).__name__} of its own"
            raise UnsupportedEngineError(f"{name} of {type(model).__name__} cannot be routed: {why}")
        if runner.is_monolithic:
            raise UnsupportedEngineError(
                f"{name}: its experts' kernel ({type(runner.routed_experts.quant_method).__name__}) routes by itself "
                "and would ignore a plan; choose another by --moe-backend")
        if getattr(router, "bias_vl", None) is not None:  # models set it on a router that is built, so on ours
            raise UnsupportedEngineError(f"{name}: its router has a second bias for image tokens, which the op "
                                         "does not know; take thermoe's configuration away to serve this model")
        layers.append(Layer(name, runner, router))
    require_one_kind([(layer.name, layer.router.experts, layer.router.spec, layer.router.beta is not None) for layer in layers])
    return layers


def bind(layers: list[Layer], buffers: StepBuffers, routes: RouteInto, denominator: Denominator) -> None:
    """Proves each router and has it route under the buffers' plan."""
    for layer in layers:
        prove(layer.router, layer.name, routes, buffers.device)
    for index, layer in enumerate(layers):
        layer.router.bind(routes, buffers, index, layer.router.spec.weighed_by(denominator))


def model_facts(model: torch.nn.Module, layers: list[Layer], *, denominator: Denominator, most_rows: int,
                gpu: str | None) -> ModelFacts:
    """What the scheduling process is to know of a model."""
    first = layers[0]
    config = first.runner.moe_config
    biases = [bias for layer in layers if (bias := layer.router.beta) is not None]  # of all or of none
    return ModelFacts(
        name=type(model).__name__, layers=len(layers), experts=first.router.experts,
        router=first.router.spec.weighed_by(denominator),
        selection_bias=tuple(tuple(bias.tolist()) for bias in biases) or None,
        d_model=int(config.hidden_dim_unpadded), d_ff=int(config.intermediate_size),
        gated=bool(config.activation.is_gated), most_rows=most_rows, gpu=gpu)
