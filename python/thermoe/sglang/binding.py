# SPDX-License-Identifier: Apache-2.0
"""A loaded model's MoE layers, found, proven and told what they route under."""
from __future__ import annotations

import dataclasses
from typing import Any

import torch
from sglang.srt.layers.moe.hash_topk import HashTopK
from sglang.srt.layers.moe.topk import TopK, TopKConfig

from ..engine.known import UnsupportedEngineError, require_one_kind
from ..engine.rank import Rank, gpu_of
from ..engine.route_into import route_into
from ..engine.settings import Settings
from ..engine.step_buffers import StepBuffers
from ..engine.steps import ModelFacts
from ..routing import Router
from .router import PricedRouting, beta_of, bind, prove, read_router


@dataclasses.dataclass(frozen=True)
class Layer:
    """One MoE layer, ours to route."""
    name: str
    layer_id: int
    config: TopKConfig
    spec: Router
    experts: Any  # MoeRunnerConfig
    width: int  # of the gate's logits


def find_layers(model: torch.nn.Module, redundant: int) -> list[Layer]:
    """The model's MoE layers in its order, which is the plan's. `redundant`: replicas among the experts. Raises
    UnsupportedEngineError where one is not ours."""
    layers = []
    for name, module in model.named_modules():
        if isinstance(module, HashTopK):
            raise UnsupportedEngineError(f"{name} picks by a table of token ids: unset THERMOE_CONFIG to serve this model")
        if isinstance(module, TopK):
            layers.append(_layer(model, name, module, redundant))
    if not layers:
        raise UnsupportedEngineError(f"{type(model).__name__} has no MoE layer that thermoe knows (none has a TopK): unset "
                                     "THERMOE_CONFIG to serve this model")
    require_one_kind([(layer.name, layer.width, layer.spec, layer.config.correction_bias is not None) for layer in layers])
    return layers


def load(model: torch.nn.Module, settings: Settings, *, redundant: int, most_rows: int) -> Rank:
    """Has a loaded model route under a plan from now on: before its graphs are captured."""
    device = next(model.parameters()).device
    layers = find_layers(model, redundant)
    routes = route_into(device)
    for layer in layers:
        prove(layer.config, layer.spec, layer.width, layer.name, layer.layer_id, routes, device)
    first = layers[0]
    spec = first.spec.weighed_by(settings.denominator)
    biases = [bias for layer in layers if (bias := beta_of(layer.config)) is not None]  # of all or of none
    facts = ModelFacts(
        name=type(model).__name__, layers=len(layers), experts=first.width, router=spec,
        selection_bias=tuple(tuple(bias.tolist()) for bias in biases) or None, d_model=int(first.experts.hidden_size),
        d_ff=int(first.experts.intermediate_size_per_partition), gated=bool(first.experts.is_gated), most_rows=most_rows,
        gpu=gpu_of(device))
    buffers = StepBuffers(facts.layers, facts.experts, spec.k, most_rows, device)
    for index, layer in enumerate(layers):
        bind(layer.config, PricedRouting(layer.config, routes, buffers, index, spec))
    return Rank(facts, buffers, [])


def _layer(model: torch.nn.Module, name: str, module: TopK, redundant: int) -> Layer:
    block = model.get_submodule(name.rpartition(".")[0])
    experts = getattr(getattr(block, "experts", None), "moe_runner_config", None)
    if experts is None or experts.num_experts is None:
        raise UnsupportedEngineError(f"{name}: the experts beside it have no moe_runner_config, so that their size is not known: "
                                     "unset THERMOE_CONFIG to serve this model")
    return Layer(name, module.layer_id, module.topk_config, read_router(module.topk_config, name), experts,
                 int(experts.num_experts) - redundant)
