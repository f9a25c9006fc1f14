# SPDX-License-Identifier: Apache-2.0
"""Hardware-aware dynamic routing for Mixture-of-Experts models (docs/engines.md).

Everything is imported when it is first asked for: `import thermoe` needs neither torch nor a GPU.
"""
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import ops as ops
    from ._c_abi import BadInputError as BadInputError, BusyError as BusyError
    from ._c_abi import ThermoeError as ThermoeError, UnavailableError as UnavailableError
    from .control import Controller as Controller, ControllerState as ControllerState, Decision as Decision
    from .costs import Cost as Cost, CostModel as CostModel, ExpertShape as ExpertShape
    from .measurement import DeviceEnergy as DeviceEnergy, Measurement as Measurement, measure as measure
    from .monitor import GpuReading as GpuReading, HostReading as HostReading, Monitor as Monitor, Snapshot as Snapshot
    from .hf import Attachment as Attachment, UnsupportedModelError as UnsupportedModelError
    from .hf import attach as attach, detach as detach
    from .plan import LayerRow as LayerRow, RoutingPlan as RoutingPlan

__version__ = "0.1.0"

# public name -> module of the package that has it; a module's own name stands for the module.
_HOMES = {
    "ops": "ops",
    **dict.fromkeys(("BadInputError", "BusyError", "ThermoeError", "UnavailableError"), "_c_abi"),
    **dict.fromkeys(("Controller", "ControllerState", "Decision"), "control"),
    **dict.fromkeys(("GpuReading", "HostReading", "Monitor", "Snapshot"), "monitor"),
    **dict.fromkeys(("DeviceEnergy", "Measurement", "measure"), "measurement"),
    **dict.fromkeys(("Cost", "CostModel", "ExpertShape"), "costs"),
    **dict.fromkeys(("LayerRow", "RoutingPlan"), "plan"),
    # Hugging Face transformers: imports torch
    **dict.fromkeys(("Attachment", "UnsupportedModelError", "attach", "detach"), "hf"),
}

__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'thermoe' has no attribute '{name}'; it has {', '.join(sorted(_HOMES))}")
    module = importlib.import_module(f".{_HOMES[name]}", __name__)
    value = module if _HOMES[name] == name else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
