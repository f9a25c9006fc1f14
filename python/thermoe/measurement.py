# SPDX-License-Identifier: Apache-2.0
"""The joules of a stretch of a program."""
import ctypes
import dataclasses
import os
import sys
from typing import Any, Optional

from . import _c_abi as abi
from .monitor import Sensors, SourceName


@dataclasses.dataclass(frozen=True)
class DeviceEnergy:
    """What one GPU or one sensor domain of the host took. None: no sensor said, and `absent_because` why."""
    name: str
    joules: Optional[float]
    mean_watts: Optional[float]
    basis: Optional[str]  # "counter", or "integrated power" where it has none
    absent_because: Optional[str]


class Measurement:
    """What `measure` is at: `count` work while it goes on, read the rest once it has ended. None: absent."""

    def __init__(self, unit: str, units: Optional[float]) -> None:
        self.unit = unit
        self._units = units
        self._ended: Optional[dict[str, Any]] = None

    def count(self, units: float) -> None:
        """So many more units of work are done."""
        self._units = (self._units or 0.0) + units

    @property
    def units(self) -> Optional[float]:
        """Units of work; None: nobody counted."""
        return self._units

    @property
    def seconds(self) -> float:
        return float(self._end()["duration"])

    @property
    def joules(self) -> Optional[float]:
        """Of the GPUs together."""
        return self._number("steady_state_energy")

    @property
    def mean_watts(self) -> Optional[float]:
        """Of the GPUs together."""
        return self._number("avg_power_watts")

    @property
    def joules_per_unit(self) -> Optional[float]:
        """Of the GPUs together; None where nothing was counted, too."""
        return self._number(f"energy_per_{self.unit}_joules")

    @property
    def total_joules(self) -> Optional[float]:
        """GPUs, CPU packages and DRAM together; None as soon as one of them is absent."""
        return self._number("total_energy_joules")

    @property
    def gpus(self) -> tuple[DeviceEnergy, ...]:
        return self._devices("gpus")

    @property
    def host(self) -> tuple[DeviceEnergy, ...]:
        return self._devices("host")

    @property
    def absent_because(self) -> Optional[str]:
        """Why there are no joules of GPUs; None where there are."""
        if self.joules is not None:
            return None
        said = [f"{gpu.name}: {gpu.absent_because}" for gpu in self.gpus if gpu.absent_because] or list(self.problems)
        return "; ".join(said) or "no GPU told energy or power"

    @property
    def simulated(self) -> bool:
        return bool(self._end()["simulated"])

    @property
    def problems(self) -> tuple[str, ...]:
        """Of the sensors, a sentence each, with the remedy."""
        return tuple(self._end().get("problems") or ())

    @property
    def raw(self) -> dict[str, Any]:
        """All of it, as `thermoe measure --json` tells it (docs/measure.md)."""
        return self._end()

    def __repr__(self) -> str:
        if self._ended is None:
            return f"Measurement(under way, {self._units} {self.unit}s)"
        if self.joules is None:
            return f"Measurement({self.seconds:.3g} s, no joules: {self.absent_because})"
        each = "" if self.joules_per_unit is None else f", {self.joules_per_unit:.4g} J/{self.unit}"
        return (f"Measurement({self.seconds:.3g} s, {self.joules:.4g} J, {self.mean_watts:.4g} W{each}"
                f"{', simulated' if self.simulated else ''})")

    def _end(self) -> dict[str, Any]:
        if self._ended is None:
            raise abi.BadInputError("the measurement is under way; ask it after the `with`")
        return self._ended

    def _number(self, name: str) -> Optional[float]:
        value = self._end().get(name)
        return None if value is None else float(value)

    def _devices(self, name: str) -> tuple[DeviceEnergy, ...]:
        return tuple(DeviceEnergy(name=device["name"], joules=device["energy_joules"], mean_watts=device["avg_power_watts"],
                                  basis=device["energy_basis"], absent_because=device["energy_absent_because"])
                     for device in self._end().get("runs", [{}])[0].get(name, []))


class measure:
    """The joules, seconds and mean watts of a block, and of each unit of work done in it:

        with thermoe.measure(unit="token") as m:
            m.count(model.generate(...).numel())
        print(m.joules_per_unit, m.mean_watts)

    Joules are the difference of each GPU's energy counter at the block's edges, which are read afresh; windows of 5 s and
    more are worth trusting. Where torch has a CUDA device at work it is waited for at both. A block that raises is not
    measured. Sensors are chosen as for Monitor.
    """

    def __init__(self, *, unit: str = "token", units: Optional[float] = None, source: SourceName = "machine",
                 gpus: Optional[str] = None, nvml_library: "str | os.PathLike[str] | None" = None,
                 plant: "str | os.PathLike[str] | None" = None) -> None:
        self._sensors = Sensors(source, gpus=gpus, nvml_library=nvml_library, plant=plant)
        self._lib = abi.library()
        self._measurement = Measurement(unit, units)

    def __enter__(self) -> Measurement:
        _wait_for_devices()
        abi.check(self._lib.thermoe_window_begin(self._sensors.handle))
        return self._measurement

    def __exit__(self, kind: Any, *_: object) -> None:
        try:
            if kind is None:
                _wait_for_devices()
                self._measurement._ended = self._window_end()
        finally:
            self._sensors.close()

    def _window_end(self) -> dict[str, Any]:
        units = self._measurement.units
        counted = None if units is None else ctypes.byref(ctypes.c_double(units))
        return abi.read_json(self._lib.thermoe_window_end, self._sensors.handle, self._measurement.unit.encode(), counted)


def _wait_for_devices() -> None:
    """Work that was handed to a GPU is done when it is done, not when the call returned."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
