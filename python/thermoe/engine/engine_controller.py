# SPDX-License-Identifier: Apache-2.0
"""The controller of an engine, opened from what its ranks say of the model and what its settings ask."""
from __future__ import annotations

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .._c_abi import ThermoeError
from ..control import Controller
from ..controller_configuration import controller_configuration
from ..fixed_plan import FixedPlan
from ..plan import RoutingPlan
from .control_source import LiveController
from .steps import ModelFacts

if TYPE_CHECKING:
    from .settings import Settings


#: The controller's `telemetry` where several GPUs are read, and the highest of them handed in.
HANDED_IN = {"source": "caller"}


@dataclasses.dataclass(frozen=True)
class EngineShape:
    """What the engine was configured to."""
    batch_limit: int  # most sequences that are decoded together
    graph_sizes: tuple[int, ...]  # rows of its captured graphs, ascending
    model_name: str  # as it is served


def agreed(facts: Sequence[ModelFacts | None]) -> tuple[ModelFacts, tuple[str, ...]]:
    """The model that all ranks have, and their GPUs. Raises RuntimeError where they differ or one lacks our routers."""
    if not facts or any(one is None for one in facts):
        missing = [str(rank) for rank, one in enumerate(facts) if one is None]
        raise RuntimeError(f"rank {', '.join(missing) or '0'} of {len(facts)} has no priced routers: the plug-in is "
                           "not installed where it runs. Install the same thermoe there, and give it THERMOE_CONFIG or "
                           "additional_config")
    known = [one for one in facts if one is not None]
    for rank, one in enumerate(known):
        ours, theirs = dataclasses.replace(known[0], gpu=None), dataclasses.replace(one, gpu=None)
        if ours != theirs:
            names = [field.name for field in dataclasses.fields(ModelFacts)
                     if getattr(ours, field.name) != getattr(theirs, field.name)]
            raise RuntimeError(f"ranks 0 and {rank} have loaded different models: {', '.join(names)} differ; all must "
                               "run one plan")
    return known[0], tuple(dict.fromkeys(one.gpu for one in known if one.gpu is not None))


def sensors(settings: Settings, gpus: Sequence[str]) -> dict[str, Any]:
    """The controller's `telemetry`: as the settings say, else NVML of the ranks' GPU; of several the highest reading,
    which is handed in (hottest_gpu.py). Raises ValueError where there is nothing to read."""
    told = dict(settings.config.get("telemetry", {}))
    if told.get("source", "nvml") != "nvml" or "gpu" in told:
        return told
    if not gpus:
        raise ValueError(f"{settings.path}: the ranks have no GPU whose sensors could be read; give config.telemetry a "
                         "\"gpu\", or \"source\": \"simulated\"")
    return dict(HANDED_IN) if len(gpus) > 1 else {**told, "source": "nvml", "gpu": gpus[0]}


def open_controller(facts: ModelFacts, gpus: Sequence[str], settings: Settings, shape: EngineShape) -> LiveController:
    """Raises ThermoeError or ValueError, naming what is wrong."""
    baseline = RoutingPlan.baseline(facts.layers, facts.experts, facts.router.k).to_bytes()
    if settings.plan is not None:
        if settings.plan.k_min > facts.router.k:
            raise ValueError(f"{settings.path}: plan.k_min is {settings.plan.k_min}; expected at most the "
                             f"{facts.router.k} experts that a token of this model takes")
        plan = RoutingPlan.priced(facts.layers, facts.experts, facts.router.k, price=settings.plan.price,
                                  k_min=settings.plan.k_min)
        return LiveController(FixedPlan(plan), settings, baseline)
    try:
        controller = Controller(configuration(facts, gpus, settings, shape))
    except ThermoeError as error:  # it knows the keys as the controller has them, and no file
        raise type(error)(f"{settings.path}: {error}") from error
    if (controller.layers, controller.experts) != (facts.layers, facts.experts):
        controller.close()
        raise ValueError(f"{settings.path}: config.model is of {controller.layers} layers x {controller.experts} "
                         f"experts, the model has {facts.layers} x {facts.experts}; leave it out")
    return LiveController(controller, settings, baseline)


def configuration(facts: ModelFacts, gpus: Sequence[str], settings: Settings, shape: EngineShape) -> dict[str, Any]:
    """What docs/engines.md documents. Paths in the settings' config are relative to their file."""
    config = _with_paths(settings.config, pathlib.Path(settings.path).parent)
    made = controller_configuration(
        layers=facts.layers, experts=facts.experts, router=facts.router, selection_bias=facts.selection_bias,
        own_shape={"name": facts.name, "layers": facts.layers, "gated": facts.gated,
                   "shape": [facts.experts, facts.router.k, facts.d_model, facts.d_ff]},
        power_w=settings.power_w, temperature_c=settings.temperature_c, time_per_token_ms=settings.time_per_token_ms,
        max_quality_loss=settings.max_quality_loss, objective=settings.objective,
        step_period_ms=settings.step_period_ms, batch_limit=shape.batch_limit, graph_sizes=shape.graph_sizes,
        cost_model=settings.cost_model, costed_as=settings.costed_as, config=config)
    made["telemetry"] = _paths(sensors(settings, gpus), ("plant", "cost_model"), pathlib.Path(settings.path).parent)
    if "metrics" in made:
        made["metrics"] = {"model_name": shape.model_name, **made["metrics"]}
    return made


def _with_paths(config: Mapping[str, Any], folder: pathlib.Path) -> dict[str, Any]:
    return _paths({key: value for key, value in config.items() if key != "telemetry"}, ("cost_model",), folder)


def _paths(keys: Mapping[str, Any], names: tuple[str, ...], folder: pathlib.Path) -> dict[str, Any]:
    return {key: os.path.join(folder, value) if key in names and isinstance(value, str) else value
            for key, value in keys.items()}
