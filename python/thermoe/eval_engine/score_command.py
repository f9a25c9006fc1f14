# SPDX-License-Identifier: Apache-2.0
"""The score of a task harness, which is a command of the caller's: what it prints last is the score."""
from __future__ import annotations

import json
import math
import os
import pathlib
import subprocess
import sys

from .._vllm_entry import CONFIG


class ScoreError(RuntimeError):
    """A command that failed, or printed no score."""


def run_score(command: str, key: str | None, settings: pathlib.Path | None) -> float:
    """Runs a shell's command with THERMOE_CONFIG naming the settings, or, for None, without it. What it prints is shown on
    standard error. Raises ScoreError."""
    environment = {name: value for name, value in os.environ.items() if name != CONFIG}
    if settings is not None:
        environment[CONFIG] = str(settings)
    last = ""
    with subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, text=True, errors="replace", env=environment) as running:
        assert running.stdout is not None
        for line in running.stdout:
            sys.stderr.write(line)
            last = line.strip() or last
    if running.returncode != 0:
        raise ScoreError(f"--score: the command ended with {running.returncode}: {command}")
    return read_score(last, key)


def read_score(line: str, key: str | None) -> float:
    """A number, or that at `key` (a.b.c) of a JSON object. Raises ScoreError."""
    try:
        value = json.loads(line, parse_int=float)
        for part in (key or "").split("."):
            value = value[part] if part else value
    except (ValueError, KeyError, TypeError) as error:
        wanted = f"a JSON object with the number {key}" if key else "a number"
        raise ScoreError(f"--score: the command's last line is {line!r}; expected {wanted}") from error
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise ScoreError(f"--score: {f'{key} of ' if key else ''}the command's last line is {value!r}; expected a number"
                         + ("" if key else ". --score-key a.b names one in a JSON object"))
    return float(value)
