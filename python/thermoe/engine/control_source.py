# SPDX-License-Identifier: Apache-2.0
"""Whose plan holds: a controller's, then that of the one that follows it when settings change; or the last one's of a
controller that fails."""
from __future__ import annotations

import dataclasses
import logging
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._c_abi import ThermoeError
from ..control import Controller, Decision
from .said import SaidOnce

if TYPE_CHECKING:
    from .settings import Settings

_log = logging.getLogger("vllm.thermoe")  # vLLM's handler is that of "vllm"
_QUIET_S = 60.0  # a controller that is late again and again is said to be once a minute
_REMEMBERED = 64  # versions: steps that are under way run under one of the latest


@dataclasses.dataclass(frozen=True)
class Held:
    """What holds for the next step."""
    version: int  # grows with every change, whichever controller made it
    block: memoryview
    step_period_s: float  # 0: the next step may start at once
    sample_wanted: bool
    settings: Settings


class LiveController:
    """A controller at work, and its last decision, which stays in force where it fails: until its time is over, then
    plain top-k without a pause. (A controller that is only late gives its safe plan by itself.)"""

    def __init__(self, controller: Controller, settings: Settings, baseline: bytes,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self.controller = controller
        self.settings = settings
        self._baseline = memoryview(baseline)
        self._clock = clock
        self._decision = controller.acquire()
        self._acquired = clock()
        self._said = SaidOnce(_log)
        self._said_safe: float | None = None

    @property
    def calibrating(self) -> bool:
        return self._decision.calibrating

    def acquire(self) -> Decision:
        try:
            decision = self.controller.acquire()
        except ThermoeError as error:
            return self._without(error)
        now = self._clock()
        if decision.safe and not self._decision.safe and (self._said_safe is None or now > self._said_safe + _QUIET_S):
            self._said_safe = now
            _log.warning("no decision followed the last one in time: the safe plan runs until one does")
        self._decision, self._acquired = decision, now
        return decision

    def observe(self, *, version: int | None, **step: Any) -> None:
        """`version` None: of another controller's plan."""
        try:
            self.controller.observe(version=self._decision.version if version is None else version, **step)
        except ThermoeError as error:
            self._said.error(f"a step could not be told to the controller: {error}")

    def _without(self, error: ThermoeError) -> Decision:
        self._said.error("the controller fails; its last plan stays until its time is over, then experts are picked as "
                         f"the model does and no power is held: {error}")
        last = self._decision
        if last.valid_for_s is not None and self._clock() > self._acquired + last.valid_for_s:
            self._decision = dataclasses.replace(
                last, version=last.version + 1, plan=self._baseline, step_period_s=0.0, valid_for_s=None, safe=True,
                sample_wanted=False)
        return self._decision


class ControlSource:
    """`acquire` and `observe` are the scheduling thread's and wait for nothing. `offer`, `lives` and `close_retired`
    are another thread's, which alone closes controllers."""

    def __init__(self, live: LiveController) -> None:
        self._current = live
        self._candidate: LiveController | None = None
        self._offered: queue.SimpleQueue[LiveController] = queue.SimpleQueue()
        self._retired: queue.SimpleQueue[LiveController] = queue.SimpleQueue()
        self._version = 0
        self._made_by: dict[int, tuple[LiveController, int]] = {}

    def acquire(self) -> Held:
        self._take_offers()
        sample_wanted = False
        if self._candidate is not None:
            following = self._candidate.acquire()
            sample_wanted = following.sample_wanted
            if not following.calibrating:
                self._retired.put(self._current)
                self._current, self._candidate = self._candidate, None
                _log.info("the changed settings hold from now on: %s", self._current.settings)
        live = self._current
        decision = live.acquire()
        if self._made_by.get(self._version) != (live, decision.version):
            self._version += 1
            self._made_by[self._version] = (live, decision.version)
            self._made_by.pop(self._version - _REMEMBERED, None)
        return Held(version=self._version, block=decision.plan, step_period_s=decision.step_period_s,
                    sample_wanted=decision.sample_wanted or sample_wanted, settings=live.settings)

    def observe(self, version: int, **step: Any) -> None:
        """A step that ran under the plan of `version` of `acquire`."""
        maker, made = self._made_by.get(version, (None, 0))
        for live in self.lives():
            live.observe(version=made if live is maker else None, **step)

    def offer(self, live: LiveController) -> None:
        """Follows the controller in force as soon as it has seen the router for long enough to control."""
        self._offered.put(live)

    def lives(self) -> tuple[LiveController, ...]:
        following = self._candidate
        return (self._current,) if following is None else (self._current, following)

    def close_retired(self) -> None:
        while not self._retired.empty():
            self._retired.get().controller.close()

    def close(self) -> None:
        """Once no other thread is left that uses it."""
        self._take_offers()
        self.close_retired()
        for live in self.lives():
            live.controller.close()

    def _take_offers(self) -> None:
        while not self._offered.empty():
            if self._candidate is not None:
                self._retired.put(self._candidate)
            self._candidate = self._offered.get()
