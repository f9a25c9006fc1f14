# SPDX-License-Identifier: Apache-2.0
"""The governor of an engine of vLLM's: orders go with its SchedulerOutput, reports come with its ModelRunnerOutput.

It knows no more of vLLM than that; core_hooks.py calls it.
"""
from __future__ import annotations

from typing import Any

from ..engine import governor
from ..engine.governor import Requests
from ..engine.steps import StepOrder
from .messages import give_order, reports_of

__all__ = ["Governor", "Requests"]


class Governor(governor.Governor):
    """All methods are the scheduling thread's."""

    def schedule(self, scheduler_output: Any, started: float, requests: Requests) -> None:
        """A step was scheduled, from `started` on: puts its order on it."""
        tokens = scheduler_output.total_num_scheduled_tokens
        self.finish(len(scheduler_output.finished_req_ids))
        if tokens == 0:
            return  # nothing runs
        mixed = max(scheduler_output.num_scheduled_tokens.values()) > 1
        give_order(scheduler_output, self.begin(tokens=tokens, mixed=mixed, started=started, requests=requests))

    def update(self, order: StepOrder | None, model_runner_output: Any, requests: Requests, *, idle: bool) -> None:
        """The scheduler has taken a step's output."""
        self.end(order, reports_of(model_runner_output), requests, idle=idle)
