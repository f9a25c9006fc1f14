# SPDX-License-Identifier: Apache-2.0
"""What the machine's sensors show: GPUs by NVML, the host by RAPL and hwmon, a recording or a simulated GPU."""
import dataclasses
import json
import os
from typing import Any, Literal, Optional

from . import _c_abi as abi

SourceName = Literal["machine", "nvml", "host", "replay", "simulated"]


@dataclasses.dataclass(frozen=True)
class GpuReading:
    """What one GPU said, by the names of a recording's columns (docs/monitor.md). None: absent; sensors vary by chip,
    driver and permission."""
    gpu: int  # NVML's index
    name: str
    uuid: str
    age_s: float  # of the poll that read it
    power_w: Optional[float]  # the driver's mean of a second
    power_instant_w: Optional[float]
    power_limit_w: Optional[float]
    temp_gpu_c: Optional[float]
    temp_mem_c: Optional[float]
    energy_j: Optional[float]  # counter since the driver was loaded; read once a second
    energy_gaps: Optional[int]  # how often it began anew: the difference of two readings holds at equal ones
    util_gpu_pct: Optional[float]  # of the time
    util_mem_pct: Optional[float]
    sm_clock_mhz: Optional[float]
    memory_clock_mhz: Optional[float]
    throttle_reasons: Optional[int]  # NVML's bits


@dataclasses.dataclass(frozen=True)
class HostReading:
    """What one sensor domain of the host said: "RAPL package-0", "k10temp Tctl"."""
    name: str
    age_s: float
    host_power_w: Optional[float]
    host_energy_j: Optional[float]
    host_temp_c: Optional[float]
    host_energy_gaps: Optional[int]


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """The newest readings of all sources."""
    source: str  # those that answered: "NVML + host"
    simulated: bool
    gpus: tuple[GpuReading, ...]
    host: tuple[HostReading, ...]
    problems: tuple[str, ...]  # what is there and cannot be read, a sentence each, with the remedy


class Sensors(abi.Handle):
    """Sensors under the library's threads. `gpus`: "all", or indices and UUIDs with commas between them; where it is not
    given CUDA_VISIBLE_DEVICES is followed. `file`: a recording, of source "replay"; `plant`: of "simulated"."""
    _kind = "sensors_"

    def __init__(self, source: SourceName = "machine", *, gpus: Optional[str] = None,
                 nvml_library: "str | os.PathLike[str] | None" = None, file: "str | os.PathLike[str] | None" = None,
                 plant: "str | os.PathLike[str] | None" = None) -> None:
        given = {"source": source, "gpus": gpus, "cuda_visible_devices": os.environ.get("CUDA_VISIBLE_DEVICES"),
                 **{name: os.fspath(path) for name, path in (("nvml_library", nvml_library), ("file", file),
                                                             ("plant", plant)) if path is not None}}
        super().__init__(json.dumps({name: value for name, value in given.items() if value is not None}))


class Monitor(Sensors):
    """Reads sensors ten times a second in the background:

        with Monitor() as monitor:
            for gpu in monitor.read().gpus:
                print(gpu.name, gpu.power_instant_w)

    Where there are no sensors a snapshot is empty, and its `problems` say why.
    """

    def read(self) -> Snapshot:
        """The newest readings; waits for none."""
        read = abi.read_json(self._lib.thermoe_sensors_read, self.handle)
        return Snapshot(source=read["source"], simulated=read["simulated"],
                        gpus=tuple(_of(GpuReading, gpu) for gpu in read["gpus"]),
                        host=tuple(_of(HostReading, host) for host in read["host"]), problems=tuple(read["problems"]))


def _of(kind: Any, values: dict[str, Any]) -> Any:
    """A newer library may know more sensors than the class, and not all of an older one's are there."""
    return kind(**{field.name: values.get(field.name) for field in dataclasses.fields(kind)})
