# SPDX-License-Identifier: Apache-2.0
"""Hardware-aware dynamic routing for Mixture-of-Experts models (docs/engines.md).

Everything is imported when it is first asked for: `import thermoe` needs neither torch nor a GPU.
"""
import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import ops as ops

__version__ = "0.1.0"

# public name -> module of the package that has it; a module's own name stands for the module.
_HOMES = {
    "ops": "ops",
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
