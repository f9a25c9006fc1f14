# SPDX-License-Identifier: Apache-2.0
"""An engine's control from its start to its end: controller, sensors, a settings file that changes, other engines."""
from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence

from .control_source import ControlSource
from .engine_controller import HANDED_IN, EngineShape, open_controller, sensors
from .gpu_claim import GpuClaims
from .hottest_gpu import HottestGpu
from .settings import Settings, read_settings
from .steps import ModelFacts
from .upkeep import Upkeep

_log = logging.getLogger("vllm.thermoe")


def start_control(facts: ModelFacts, gpus: Sequence[str], settings: Settings, shape: EngineShape, *,
                  read: Callable[[str], Settings] = read_settings) -> tuple[ControlSource, Callable[[], None]]:
    """Whose plans hold, and what ends that. `read` reads the settings file anew when it changes. Raises what says that it
    cannot be."""
    with contextlib.ExitStack() as ends:
        source = ControlSource(open_controller(facts, gpus, settings, shape))
        ends.callback(source.close)
        telemetry = {"source": "none"} if settings.plan else sensors(settings, gpus)
        library = settings.config.get("telemetry", {}).get("library")
        upkeep = Upkeep(source, settings, read_settings=read,
                        open_controller=lambda changed: open_controller(facts, gpus, changed, shape),
                        claims=GpuClaims(gpus) if telemetry.get("source", "nvml") in ("nvml", "caller") else None,
                        hottest=HottestGpu(gpus, library) if telemetry == HANDED_IN else None)
        ends.callback(upkeep.close)
        end = ends.pop_all().close
    _log.info("%s runs under %s: %d MoE layers x %d experts, k %d; GPUs: %s", shape.model_name, settings, facts.layers,
              facts.experts, facts.router.k, ", ".join(gpus) or "none")
    return source, end
