# SPDX-License-Identifier: Apache-2.0
"""The governor of an engine, in the process that schedules: what each step is ordered, when it may start, what it was."""
from __future__ import annotations

import collections
import dataclasses
import logging
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .control_source import ControlSource
from .said import SaidOnce
from .steps import ModelFacts, SampledLogits, StepOrder, StepReport

_log = logging.getLogger("vllm.thermoe")
_LONGEST_PERIOD_S = 100.0  # that a controller may ask for (docs/engines.md)
_RECENT = 5  # decode steps whose median is what a step takes by itself: one slow step changes nothing
_MOST_UNREPORTED = 1024  # steps that are remembered for a report, and without any after which that is said


@dataclasses.dataclass(frozen=True)
class Requests:
    """Of the scheduler."""
    running: int
    waiting: int


@dataclasses.dataclass(frozen=True)
class Start:
    """Of the next step."""
    at: float  # by the governor's clock
    alone: bool  # once the steps under way are done; otherwise beside them


@dataclasses.dataclass
class _Step:
    """What the core knows of a step until its report comes."""
    version: int
    tokens: int
    mixed: bool
    period_s: float  # from the start of the step before; 0: none
    arrived: int
    finished: int
    after: Requests | None = None  # once the scheduler has taken its output


class Governor:
    """All methods are the scheduling thread's."""

    def __init__(self, facts: ModelFacts, source: ControlSource, *, batch_limit: int, paces: bool,
                 clock: Callable[[], float] = time.monotonic) -> None:
        self._facts = facts
        self._source = source
        self._batch_limit = batch_limit
        self._paces = paces
        self.clock = clock
        self._number = 0
        self._sent: int | None = None  # version of the plan that the ranks have
        self._started: float | None = None  # of the newest step; None: of none, or the engine was idle since
        self._mixed = False  # the newest step read prompts
        self._left = Requests(0, 0)  # by the newest step's schedule
        self._arrived = self._finished = 0
        self._steps: dict[int, _Step] = {}
        self._reported = 0  # number of the newest step that was reported
        # Of decode steps, as reported: the device's time without a launch that it waited for, and such launches.
        self._decode_times_s: collections.deque[float] = collections.deque(maxlen=_RECENT)
        self._launches_s: collections.deque[float] = collections.deque(maxlen=_RECENT)
        self._said = SaidOnce(_log)

    def arrive(self) -> None:
        """A request has come."""
        self._arrived += 1

    def next_start(self, requests: Requests) -> Start | None:
        """When the next step may start; None: at once, beside the steps under way.

        Only decode steps that follow decode steps are paced, and a period that steps fill by themselves costs no pause.
        A request that the next step may admit waits for no more than the step under way: launching a step that reads a
        prompt takes the host about as long as a decode step takes, and the tokens of that one would wait for it.
        The device waits for the launch of a step that begins alone: where steps then are longer than the period, they are
        paced beside each other.
        """
        if not self._paces or self._started is None or self._mixed or not requests.running:
            return None
        period_s = self._source.acquire().step_period_s
        own_s = _median(self._decode_times_s)
        if not own_s < period_s <= _LONGEST_PERIOD_S:
            if not period_s <= _LONGEST_PERIOD_S:
                self._said.error(f"the controller asks for steps {period_s:g} s apart; expected {_LONGEST_PERIOD_S:g} at "
                          "most: they are not paced")
            return None
        admits = self._may_admit(requests)
        return Start(at=self._started + (0.0 if admits else period_s),
                     alone=admits or own_s + _median(self._launches_s) < period_s)

    def finish(self, requests: int) -> None:
        """So many requests have ended."""
        self._finished += requests

    def begin(self, *, tokens: int, mixed: bool, started: float, requests: Requests) -> StepOrder:
        """A step was scheduled, from `started` on: its order. `mixed`: it reads prompts."""
        held = self._source.acquire()
        self._number += 1
        order = StepOrder(
            number=self._number, version=held.version, block=None if held.version == self._sent else bytes(held.block),
            valid_tokens=tokens, prefill=mixed and tokens > held.settings.prefill_token_limit,
            sample=held.sample_wanted and not mixed and tokens <= min(self._facts.most_rows, self._batch_limit))
        self._sent = held.version
        self._steps[self._number] = _Step(
            version=held.version, tokens=tokens, mixed=mixed, arrived=self._arrived, finished=self._finished,
            period_s=0.0 if self._started is None else started - self._started)
        self._started, self._mixed, self._left = started, mixed, requests
        self._arrived = self._finished = 0
        self._forget()
        return order

    def end(self, order: StepOrder | None, reports: Sequence[StepReport], requests: Requests, *, idle: bool) -> None:
        """The scheduler has taken a step's output, and with it these reports. `idle`: nothing is left to run."""
        if order is not None and (step := self._steps.get(order.number)) is not None:
            step.after = requests
        for report in reports:
            self._observe(report, requests)
        if idle:
            self.idle()

    def idle(self) -> None:
        """Nothing is left to run: the next step follows none."""
        self._started = None

    def _may_admit(self, requests: Requests) -> bool:
        """Whether a request waits that the newest step could not have taken."""
        came = requests.waiting > self._left.waiting or (requests.waiting > 0 and requests.running < self._left.running)
        return came and requests.running < self._batch_limit

    def _observe(self, report: StepReport, requests: Requests) -> None:
        step = self._steps.pop(report.number, None)
        if step is None:
            return  # reported already, or too late
        self._reported = max(self._reported, report.number)
        if report.version != step.version:
            self._sent = None  # the rank has missed a plan: it gets the newest one again
            self._said.error(f"a rank ran step {report.number} under plan {report.version}, where {step.version} was ordered; "
                      "plans are sent anew")
        if not step.mixed and report.step_time_s is not None:
            self._decode_times_s.append(max(report.step_time_s - report.launch_time_s, 0.0))
            if report.launch_time_s > 0:
                self._launches_s.append(report.launch_time_s)
        after = step.after or requests
        sampled = report.logits if report.counts is not None else None
        self._source.observe(
            step.version, tokens=step.tokens, rows=max(report.rows, step.tokens), mixed=step.mixed,
            step_time_s=report.step_time_s or 0.0, step_period_s=step.period_s, counts=report.counts,
            logits=None if sampled is None else _array(sampled, step.tokens), running=after.running,
            waiting=after.waiting, arrived=step.arrived, finished=step.finished)

    def _forget(self) -> None:
        while len(self._steps) > _MOST_UNREPORTED:
            lost = self._steps.pop(next(iter(self._steps)))
            self._arrived += lost.arrived
            self._finished += lost.finished
            if self._number - self._reported > _MOST_UNREPORTED:
                self._said.error(f"the ranks have not reported {_MOST_UNREPORTED} steps: the controller sees nothing of what "
                          "runs and holds no target. Is the plug-in installed where the workers run?")


def _median(times_s: Sequence[float]) -> float:
    return statistics.median(times_s) if times_s else 0.0


def _array(logits: SampledLogits, tokens: int) -> Any:
    """What Controller.observe reads: of bfloat16 a torch tensor, as numpy has none."""
    values = np.ascontiguousarray(logits.values[:, :tokens])
    if logits.dtype != "bfloat16":
        return values
    import torch
    return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
