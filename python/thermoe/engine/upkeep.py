# SPDX-License-Identifier: Apache-2.0
"""What an engine's control needs beside its steps, in a thread that no step waits for: sensors of several GPUs,
settings that change, engines that share a GPU, and words for the log."""
from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._c_abi import ThermoeError
from ..control import Controller
from .control_source import ControlSource, LiveController
from .gpu_claim import GpuClaims
from .hottest_gpu import HottestGpu
from .said import SaidOnce, without_numbers

if TYPE_CHECKING:
    from .settings import Settings

_log = logging.getLogger("vllm.thermoe")
_READ_S = 0.05  # between two readings of several GPUs: half a tick of the controller
_LOOK_S = 1.0  # at the settings file, other engines, the controller's state
_LASTING = 10  # looks after which a state is no passing one
_UNSAMPLED_STEPS = 3000  # after which a controller has usually long seen the router


class Upkeep:
    """`read_settings` raises ValueError for a file that cannot be used, `open_controller` that or ThermoeError."""

    def __init__(self, source: ControlSource, settings: Settings, *, read_settings: Callable[[str], Settings],
                 open_controller: Callable[[Settings], LiveController], claims: GpuClaims | None = None,
                 hottest: HottestGpu | None = None, look_s: float = _LOOK_S) -> None:
        self._source = source
        self._settings = settings
        self._read_settings = read_settings
        self._open_controller = open_controller
        self._claims = claims
        self._hottest = hottest
        self._look_s = look_s
        self._file: tuple[int, ...] = ()  # as it was last read; at first unknown: it may have changed since
        self._missing = 0
        self._kind = ""
        self._saturated = 0
        self._said_unsampled = False
        self._said = SaidOnce(_log)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="thermoe", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends the thread, and what it read."""
        self._stop.set()
        self._thread.join()
        for part in (self._hottest, self._claims):
            if part is not None:
                part.close()

    def _run(self) -> None:
        looks = [self._watch, self._source.close_retired, self._tell_state]
        if self._claims is not None:
            looks.append(self._claims.tell)
        next_look = time.monotonic()
        while not self._stop.is_set():
            due = time.monotonic() >= next_look
            for part in ([self._feed] if self._hottest else []) + (looks if due else []):
                try:
                    part()
                except Exception as error:  # a thread's root: the other parts go on
                    self._said.error(f"beside the steps something failed: {error}", error)
            if due:
                next_look = time.monotonic() + self._look_s
            self._stop.wait(_READ_S if self._hottest else self._look_s)

    def _feed(self) -> None:
        assert self._hottest is not None
        if (reading := self._hottest.read()) is not None:
            for live in self._source.lives():
                live.controller.set_reading(**reading)

    def _watch(self) -> None:
        """A changed file holds as a whole, or not at all."""
        stamp = _stamp(self._settings.path)
        if stamp is None:
            self._missing += 1
            if self._missing == 2:  # an editor may replace it in between
                _log.warning("%s is gone; its settings stay in force", self._settings.path)
            return
        self._missing = 0
        if stamp == self._file:
            return
        self._file = stamp
        try:
            settings = self._read_settings(self._settings.path)
            if settings == self._settings:
                return
            _refuse_what_stays(self._settings, settings)
            live = self._open_controller(settings)
        except (ValueError, ThermoeError) as error:
            _log.error("the changed settings are refused, those before stay in force: %s", error)
            return
        self._settings = settings
        self._source.offer(live)
        _log.info("the changed settings were read; they hold as soon as their controller has seen the router")

    def _tell_state(self) -> None:
        live = self._source.lives()[0]
        controller = live.controller
        if not isinstance(controller, Controller):
            return  # a plan that stays
        state = controller.state()
        kind = state.plan_kind + without_numbers(state.reason)
        if kind != self._kind:
            level = logging.WARNING if state.reason and not live.calibrating else logging.INFO
            _log.log(level, "%s", state.reason or f"in control: {controller!r}")
        self._kind = kind
        if live.calibrating and state.steps > _UNSAMPLED_STEPS and not self._said_unsampled:
            self._said_unsampled = True
            _log.error("%d steps and still no control: %s. Were there decode steps of at most the sampled rows?",
                       state.steps, state.reason)
        self._saturated = min(self._saturated + 1, _LASTING + 1) if state.saturated else 0
        if self._saturated == _LASTING:
            _log.warning("the targets are out of reach: %r", controller)


def _refuse_what_stays(before: Settings, after: Settings) -> None:
    """Raises ValueError for what was built into the ranks, or what sensors are read."""
    changed = {"denominator": before.denominator != after.denominator,
               "config.telemetry": before.config.get("telemetry") != after.config.get("telemetry"),
               "plan": (before.plan is None) != (after.plan is None)}
    for key, differs in changed.items():
        if differs:
            raise ValueError(f"{after.path}: {key} cannot change while the engine serves; restart it, or leave it as "
                             "it was")
    port, address = _listens_at(after)
    if port and (port, address) == _listens_at(before):
        raise ValueError(f"{after.path}: config.metrics.port is {port}, where the controller in force listens until "
                         "another follows it: to change settings while the engine serves, give another port, or 0 for "
                         "any that is free; or restart it")


def _listens_at(settings: Settings) -> tuple[Any, Any]:
    metrics = settings.config.get("metrics", {})
    return metrics.get("port"), metrics.get("address")


def _stamp(path: str) -> tuple[int, ...] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
