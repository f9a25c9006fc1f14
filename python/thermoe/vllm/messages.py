# SPDX-License-Identifier: Apache-2.0
"""What the process that schedules and the ranks tell each other, as pickled values on what vLLM sends anyway.

    ranks -> core   ModelFacts   once, when the model is loaded: keep_facts, facts_of
    core -> ranks   StepOrder    with each SchedulerOutput: give_order, order_of
    rank -> core    StepReport   with a later ModelRunnerOutput: give_reports, reports_of

All ranks take a step's order from one and the same message, so that they change plans in the same step.
"""
from __future__ import annotations

from typing import Any

from ..engine.steps import ModelFacts, SampledLogits, StepOrder, StepReport

__all__ = ["ModelFacts", "SampledLogits", "StepOrder", "StepReport", "facts_of", "give_order", "give_reports", "keep_facts",
           "order_of", "reports_of"]

_ATTRIBUTE = "thermoe"  # of a worker, and of vLLM's two dataclasses, which have no slots and are pickled whole


def keep_facts(worker: Any, facts: ModelFacts) -> None:
    """Has a rank's worker hold what the scheduling process is going to ask it for."""
    setattr(worker, _ATTRIBUTE, facts)


def facts_of(worker: Any) -> ModelFacts | None:
    """What a rank holds; for `collective_rpc`. None: the plug-in has not been there."""
    facts = getattr(worker, _ATTRIBUTE, None)
    return facts if isinstance(facts, ModelFacts) else None


def give_order(scheduler_output: Any, order: StepOrder) -> None:
    """Puts a step's order on vLLM's SchedulerOutput."""
    setattr(scheduler_output, _ATTRIBUTE, order)


def order_of(scheduler_output: Any) -> StepOrder | None:
    """None: a step that the scheduling process gave no order for, as of vLLM's warm-up."""
    order = getattr(scheduler_output, _ATTRIBUTE, None)
    return order if isinstance(order, StepOrder) else None


def give_reports(model_runner_output: Any, reports: list[StepReport]) -> None:
    """Puts reports, oldest first, on vLLM's ModelRunnerOutput; not on its shared empty one, which outlives the step."""
    setattr(model_runner_output, _ATTRIBUTE, reports)


def reports_of(model_runner_output: Any) -> list[StepReport]:
    """Empty where there is none: a step whose device is still at work reports with a later output."""
    return list(getattr(model_runner_output, _ATTRIBUTE, None) or ())
