# SPDX-License-Identifier: Apache-2.0
"""What a model and what was asked for are to the controller: its configuration (docs/engines.md)."""
import os
import pathlib
from collections.abc import Mapping
from typing import Any, Optional, Union

import torch

from ..routing import Router
from .routers import RouterModule, UnsupportedModelError


def controller_configuration(model: torch.nn.Module, routers: list[RouterModule], spec: Router, *,
                             power_w: Optional[float], temperature_c: Optional[float],
                             time_per_token_ms: Optional[float], max_quality_loss: Optional[float],
                             batch_limit: int, step_period_ms: Optional[float], objective: Optional[str],
                             cost_model: "Union[str, os.PathLike[str], None]",
                             costed_as: Union[str, Mapping[str, Any], None],
                             config: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of `config`, where it has them, and of the model and what was asked otherwise."""
    paced = step_period_ms is not None  # by the caller; otherwise the controller finds the period
    targets = {"power_w": power_w, "temperature_c": temperature_c,
               "step_ms" if paced else "time_between_tokens_ms": time_per_token_ms}
    control = {"max_quality_loss": max_quality_loss, "step_period_s": step_period_ms / 1000 if step_period_ms else None}
    made: dict[str, Any] = {
        "schema": 1,
        "model": {"layers": len(routers), "experts": routers[0].experts, "k": spec.k, "score_function": spec.score,
                  "groups": spec.groups, "groups_kept": spec.groups_kept, "denominator": spec.denominator,
                  "routed_scale": spec.scale, "loss_scores": spec.loss_scores},
        "targets": _given(targets),
        "control": _given(control),
        "costed_as": dict(costed_as) if isinstance(costed_as, Mapping) else costed_as or _shape_of(model, routers[0]),
    }
    biases = [router.beta for router in routers]
    if all(bias is not None for bias in biases):
        made["model"]["selection_bias"] = [bias.float().tolist() for bias in biases if bias is not None]
    path = cost_model or _shipped_cost_model()
    if path is not None:
        made["cost_model"] = os.path.abspath(path)
    if not paced:
        made["engine"] = {"batch_limit": batch_limit}
    if objective is not None:
        made["objective"] = objective
    for key, value in config.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), dict)
        made[key] = {**made[key], **value} if both else value
    return made


def _given(keys: Mapping[str, Optional[float]]) -> dict[str, float]:
    return {name: value for name, value in keys.items() if value is not None}


def _shape_of(model: torch.nn.Module, router: RouterModule) -> dict[str, Any]:
    """The experts beside a router: E experts of gate and up [2 d_ff, d_model] or, transposed, [d_model, 2 d_ff]."""
    d_model = int(router.module.weight.shape[1])
    block = model.get_submodule(router.name.rpartition(".")[0])
    down = getattr(getattr(block, "experts", None), "down_proj", None)
    if not isinstance(down, torch.Tensor) or down.dim() != 3 or d_model not in down.shape[1:]:
        raise UnsupportedModelError(f"{router.name}: the experts beside it have no down_proj [experts, d_model, d_ff], so that "
                                    "their size is not known; give costed_as={\"name\", \"layers\", \"shape\": [experts, k, "
                                    "d_model, d_ff]}")
    d_ff = int(down.shape[1] if down.shape[2] == d_model else down.shape[2])
    layers = sum(1 for _, module in model.named_modules() if type(module) is type(router.module))
    return {"name": type(model).__name__, "layers": layers, "gated": True,
            "shape": [router.experts, router.spec.k, d_model, d_ff]}


def _shipped_cost_model() -> Optional[pathlib.Path]:
    """The measured cost model that the package holds; a wheel keeps it beside this package's modules."""
    path = pathlib.Path(__file__).parent.parent / "data" / "kernel_cost_model.json"
    return path if path.is_file() else None
