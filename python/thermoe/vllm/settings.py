# SPDX-License-Identifier: Apache-2.0
"""Where an engine of vLLM's has its settings from."""
from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from .._vllm_entry import CONFIG, KEY
from ..engine.settings import PlanSettings, Settings, SettingsError, read_settings

__all__ = ["PlanSettings", "Settings", "SettingsError", "read_settings", "settings_of", "settings_path"]


def settings_path(additional_config: Any) -> str | None:
    """Of an engine: its additional_config's, else THERMOE_CONFIG's; None where neither is there."""
    path = additional_config.get(KEY) if isinstance(additional_config, Mapping) else None
    if path is not None and (not isinstance(path, str) or not path):  # "" is an unset variable of a shell's
        raise SettingsError(f"additional_config[\"{KEY}\"] is {path!r}: expected the path of a JSON or YAML file")
    return os.environ.get(CONFIG) or None if path is None else path


def settings_of(vllm_config: Any) -> Settings | None:
    """What is asked of an engine; None: nothing. Raises SettingsError."""
    path = settings_path(vllm_config.additional_config)
    return None if path is None else read_settings(path)
