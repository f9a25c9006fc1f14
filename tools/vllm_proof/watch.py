# SPDX-License-Identifier: Apache-2.0
"""What the plug-in's ranks report of each step, read where the scheduling process takes it: nothing is asked of the device."""
import dataclasses

import numpy as np
from figures import Report
from thermoe.vllm.messages import facts_of, order_of, reports_of

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
    """On an engine of this process that runs under the plug-in. Keeps a sample of logits each `sample_s`."""

    def __init__(self, llm, clock, sample_s=2.0):
        self.facts = llm.collective_rpc(facts_of)[0]
        if self.facts is None:
            raise RuntimeError("the engine does not run under the plug-in: is its package on PLUGIN_PATH, and THERMOE_CONFIG set?")
        self._clock, self._sample_s = clock, sample_s
        self._blocks = {}  # of the newest plans, by version
        self._mixed = {}  # whether a step reads prompts, by number: a rank calls one that is priced no mixed one
        self._reports, self._samples, self._next_sample = [], [], 0.0
        scheduler = llm.llm_engine.engine_core.engine_core.scheduler
        self._around(scheduler)

    def take(self):
        """(reports, samples) since the last call."""
        taken = self._reports, self._samples
        self._reports, self._samples = [], []
        return taken

    def _around(self, scheduler):
        schedule, update = scheduler.schedule, scheduler.update_from_output

        def watched_schedule(*arguments, **keywords):
            output = schedule(*arguments, **keywords)
            order = order_of(output)
            if order is not None:
                self._mixed[order.number] = max(output.num_scheduled_tokens.values()) > 1
                self._mixed.pop(order.number - _REMEMBERED, None)
                if order.block is not None:
                    self._blocks[order.version] = order.block
                    self._blocks.pop(order.version - _REMEMBERED, None)
            return output

        def watched_update(scheduler_output, model_runner_output):
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
                active_experts=active,
                step_ms=None if report.step_time_s is None else 1e3 * report.step_time_s))
        block = self._blocks.get(report.version)
        if report.logits is not None and block is not None and now >= self._next_sample:
            self._next_sample = now + self._sample_s
            self._samples.append(Sample(now, report.number, report.tokens, block, report.logits.values, report.logits.dtype))
