# SPDX-License-Identifier: Apache-2.0
"""What a model and what was asked for are to the controller: its configuration (docs/engines.md)."""
from __future__ import annotations

import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

if TYPE_CHECKING:
    from .routing import Router


def controller_configuration(*, layers: int, experts: int, router: "Router",
                             selection_bias: Optional[Sequence[Sequence[float]]], own_shape: Optional[Mapping[str, Any]],
                             power_w: Optional[float], temperature_c: Optional[float], time_per_token_ms: Optional[float],
                             max_quality_loss: Optional[float], batch_limit: int, step_period_ms: Optional[float],
                             objective: Optional[str], cost_model: "Union[str, os.PathLike[str], None]",
                             costed_as: Union[str, Mapping[str, Any], None], config: Mapping[str, Any],
                             graph_sizes: Sequence[int] = ()) -> dict[str, Any]:
    """The keys of `config`, where it has them, and of the model and what was asked otherwise. `own_shape` is what the
    model is costed as where `costed_as` does not say."""
    paced = step_period_ms is not None  # by the caller; otherwise the controller finds the period
    targets = {"power_w": power_w, "temperature_c": temperature_c,
               "step_ms" if paced else "time_between_tokens_ms": time_per_token_ms}
    control = {"max_quality_loss": max_quality_loss, "step_period_s": step_period_ms / 1000 if step_period_ms else None}
    made: dict[str, Any] = {
        "schema": 1,
        "model": {"layers": layers, "experts": experts, "k": router.k, "score_function": router.score,
                  "groups": router.groups, "groups_kept": router.groups_kept, "denominator": router.denominator,
                  "routed_scale": router.scale, "loss_scores": router.loss_scores},
        "targets": _given(targets),
        "control": _given(control),
        "costed_as": dict(costed_as) if isinstance(costed_as, Mapping) else costed_as or own_shape,
    }
    if selection_bias is not None:
        made["model"]["selection_bias"] = [list(row) for row in selection_bias]
    path = cost_model or _shipped_cost_model()
    if path is not None:
        made["cost_model"] = os.path.abspath(path)
    if not paced:
        made["engine"] = {"batch_limit": batch_limit, **({"graph_sizes": list(graph_sizes)} if graph_sizes else {})}
    if objective is not None:
        made["objective"] = objective
    for key, value in config.items():
        both = isinstance(value, Mapping) and isinstance(made.get(key), dict)
        made[key] = {**made[key], **value} if both else value
    return made


def _given(keys: Mapping[str, Optional[float]]) -> dict[str, float]:
    return {name: value for name, value in keys.items() if value is not None}


def _shipped_cost_model() -> Optional[pathlib.Path]:
    """The measured cost model that the package holds; a wheel keeps it beside this package's modules."""
    path = pathlib.Path(__file__).parent / "data" / "kernel_cost_model.json"
    return path if path.is_file() else None
