# SPDX-License-Identifier: Apache-2.0
"""Several GPUs under one controller: the highest of each sensor governs, so that the watts of all are held."""
from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from ..monitor import GpuReading, Monitor, Snapshot

_log = logging.getLogger("vllm.thermoe")
_OLDEST_S = 0.5  # a reading that is older tells nothing of now
_SENSORS = {"power_w": "power_instant_w", "power_average_w": "power_w", "temperature_c": "temp_gpu_c",
            "memory_temperature_c": "temp_mem_c"}  # as Controller.set_reading and as GpuReading name them


def highest(gpus: Sequence[GpuReading]) -> dict[str, float | None]:
    """Of each sensor the highest; absent where one of the GPUs does not have it: that one might be the hottest."""
    values = {name: [getattr(gpu, of_gpu) for gpu in gpus] for name, of_gpu in _SENSORS.items()}
    return {name: None if None in those else max(those) for name, those in values.items()}


class HottestGpu:
    """`gpus` are UUIDs, `library` NVML's where it is not the driver's."""

    def __init__(self, gpus: Sequence[str], library: str | None = None, *, monitor: Any = None) -> None:
        self._gpus = tuple(gpus)
        self._monitor = monitor or Monitor("nvml", gpus=",".join(gpus), nvml_library=library)
        self._silent = ""

    def read(self) -> dict[str, float | None] | None:
        """What Controller.set_reading takes. None: a GPU tells nothing now, and might be the hottest."""
        snapshot = self._monitor.read()
        there = {gpu.uuid: gpu for gpu in snapshot.gpus if gpu.age_s <= _OLDEST_S and any(highest([gpu]).values())}
        self._tell([uuid for uuid in self._gpus if uuid not in there], snapshot)
        return None if self._silent else highest([there[uuid] for uuid in self._gpus])

    def close(self) -> None:
        self._monitor.close()

    def _tell(self, silent: list[str], snapshot: Snapshot) -> None:
        now = ", ".join(silent)
        if now != self._silent:
            if now:
                _log.warning("%s: no sensor answers%s; while it is silent the safe plan runs on all ranks", now,
                             "".join(f". {problem}" for problem in snapshot.problems))
            else:
                _log.warning("%s: sensors answer again", self._silent)
        self._silent = now
