# SPDX-License-Identifier: Apache-2.0
"""What the plug-in's ranks report of each step, read where the scheduling process takes it: nothing is asked of the device."""
import dataclasses

import numpy as np
from figures import Report
from thermoe.vllm.messages import facts_of, order_of, reports_of
from thermoe.vllm.worker import rank_of

_REMEMBERED = 64  # steps and plans: of those that are under way

@dataclasses.dataclass(frozen=True)
class Sample:
    """A decode step's gate logits, and the plan that it ran under."""
    at: float
    number: int  # of the step
    tokens: int
    block: bytes
    values: np.ndarray  # as SampledLogits has them
    dtype: str


class Watch:
    """On an engine of this process that runs under the plug-in. Keeps a sample of logits each `sample_s`.

    `times_steps`: reports tell when the host had scheduled, launched and taken a step, too; with one GPU, whose worker is
    in this process.
    """

    def __init__(self, llm, clock, sample_s=2.0, times_steps=False):
        self.facts = llm.collective_rpc(facts_of)[0]
        if self.facts is None:
            raise RuntimeError("the engine does not run under the plug-in: is its package on PLUGIN_PATH, and THERMOE_CONFIG set?")
        self._clock, self._sample_s = clock, sample_s
        self._blocks = {}  # of the newest plans, by version
        self._mixed = {}  # whether a step reads prompts, by number: a rank calls one that is priced no mixed one
        self._scheduled, self._launched, self._taken = {}, {}, {}  # times by number
        self._reports, self._samples, self._next_sample = [], [], 0.0
        if times_steps:
            llm.collective_rpc(self._time_launches)
        scheduler = llm.llm_engine.engine_core.engine_core.scheduler
        self._around(scheduler)

    def take(self):
        """(reports, samples) since the last call."""
        taken = self._reports, self._samples
        self._reports, self._samples = [], []
        return taken

    def _time_launches(self, worker):
        rank = rank_of(worker)
        begin, end, number = rank.begin, rank.end, [0]

        def timed_begin(order, tokens):
            number[0] = order.number if order else 0
            begin(order, tokens)

        def timed_end():
            end()
            self._keep(self._launched, number[0], self._clock())

        rank.begin, rank.end = timed_begin, timed_end

    def _take_tokens(self, number, now):
        self._keep(self._taken, number, now)
        for place in range(max(0, len(self._reports) - 4), len(self._reports)):
            if self._reports[place].number == number:  # the device was done before the output in front of it was taken
                self._reports[place] = dataclasses.replace(self._reports[place], taken=now)

    @staticmethod
    def _keep(newest, number, value):
        newest[number] = value
        newest.pop(number - _REMEMBERED, None)

    def _around(self, scheduler):
        schedule, update = scheduler.schedule, scheduler.update_from_output

        def watched_schedule(*arguments, **keywords):
            now, output = self._clock(), schedule(*arguments, **keywords)
            order = order_of(output)
            if order is not None:
                self._keep(self._scheduled, order.number, now)
                self._keep(self._mixed, order.number, max(output.num_scheduled_tokens.values()) > 1)
                if order.block is not None:
                    self._keep(self._blocks, order.version, order.block)
            return output

        def watched_update(scheduler_output, model_runner_output):
            order = order_of(scheduler_output)
            if order is not None:
                self._take_tokens(order.number, self._clock())
            outputs = update(scheduler_output, model_runner_output)
            for report in reports_of(model_runner_output):
                self._take(report)
            return outputs

        scheduler.schedule, scheduler.update_from_output = watched_schedule, watched_update

    def _take(self, report):
        now = self._clock()
        active = float((report.counts > 0).sum(axis=1).mean()) if report.counts is not None else None
        if active is not None:
            self._reports.append(Report(
                at=now, tokens=report.tokens, rows=report.rows, mixed=self._mixed.get(report.number, report.mixed),
                active_experts=active, step_ms=None if report.step_time_s is None else 1e3 * report.step_time_s,
                number=report.number, scheduled=self._scheduled.get(report.number),
                launched=self._launched.get(report.number), taken=self._taken.get(report.number)))
        block = self._blocks.get(report.version)
        if report.logits is not None and block is not None and now >= self._next_sample:
            self._next_sample = now + self._sample_s
            self._samples.append(Sample(now, report.number, report.tokens, block, report.logits.values, report.logits.dtype))
