# SPDX-License-Identifier: Apache-2.0
"""The entry point of vLLM's plug-ins (`vllm.general_plugins`), called in each of vLLM's processes, before its engine.

Only the standard library is imported above: vLLM logs an error of this module's import and goes on without the plug-in,
while one that `register` raises ends the process.
"""
import os
from collections.abc import Callable
from typing import Any

#: The settings' path, or the like key `thermoe` of vLLM's --additional-config.
CONFIG = "THERMOE_CONFIG"
#: Set where an engine's additional_config asks for us, so that the processes it starts install the plug-in too.
ASKED = "THERMOE_VLLM_ASKED"
KEY = "thermoe"


def register() -> None:
    """Installs the plug-in where a configuration asks for it: now, or once an engine's additional_config does.

    Raises what is wrong with this version of vLLM; settings are read when an engine is made. A second call does
    nothing.
    """
    if os.environ.get(CONFIG) or os.environ.get(ASKED):
        _install()
    else:
        _watch_additional_config()


def _install() -> None:
    from .vllm.install import install
    install()


def _watch_additional_config() -> None:
    """The one thing that is touched where nothing has asked yet: what an engine's configuration is made by."""
    from vllm.config import VllmConfig

    from .vllm.wrapping import wrap

    def watched(stock: Callable[..., Any]) -> Callable[..., Any]:
        def made(self: Any, *arguments: Any, **keywords: Any) -> Any:
            result = stock(self, *arguments, **keywords)
            if isinstance(self.additional_config, dict) and KEY in self.additional_config:
                os.environ[ASKED] = "1"
                _install()
            return result
        return made

    wrap(VllmConfig, "__post_init__", watched)
