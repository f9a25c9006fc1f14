# SPDX-License-Identifier: Apache-2.0
"""What the process that schedules and the ranks tell each other, as pickled values on what vLLM sends anyway.

    ranks -> core   ModelFacts   once, when the model is loaded: keep_facts, facts_of
    core -> ranks   StepOrder    with each SchedulerOutput: give_order, order_of
    rank -> core    StepReport   with a later ModelRunnerOutput: give_reports, reports_of

All ranks take a step's order from one and the same message, so that they change plans in the same step.
"""
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..routing import Router

_ATTRIBUTE = "thermoe"  # of a worker, and of vLLM's two dataclasses, which have no slots and are pickled whole


@dataclasses.dataclass(frozen=True)
class ModelFacts:
    """The model as a rank has loaded it. All ranks have the same, but for `gpu`."""
    name: str  # of the model's class
    layers: int  # MoE layers, in the order of the plan's
    experts: int  # logical ones: the width of the gate's logits
    router: Router  # its k is the model's
    selection_bias: tuple[tuple[float, ...], ...] | None  # the model's own, [layers][experts]; None: it has none
    d_model: int
    d_ff: int  # of one expert, whole: not a rank's share of it
    gated: bool
    most_rows: int  # rows of a sampled step at most; the logits of larger ones are not kept
    gpu: str | None  # the rank's, "GPU-..." as NVML names it; None where it has none


@dataclasses.dataclass(frozen=True)
class StepOrder:
    """What holds for one step, for every rank."""
    number: int  # grows by one with each step that is scheduled
    version: int  # of the plan that the step runs under
    block: bytes | None  # that plan's block (docs/adr/0003-plan-buffer.md); None: the plan in force has this version
    valid_tokens: int  # rows that are no padding; they come first
    prefill: bool  # it reads prompts and is not priced
    sample: bool  # its gate logits are wanted


@dataclasses.dataclass(frozen=True)
class SampledLogits:
    """Gate logits [layers, tokens, experts] before the score function, C-contiguous."""
    values: np.ndarray  # float32 or float16; the words of bfloat16, which numpy does not have, as uint16
    dtype: str  # "float32", "float16", "bfloat16"


@dataclasses.dataclass(frozen=True)
class StepReport:
    """What one step was on a rank: the device has ended it."""
    number: int  # of its order
    version: int  # of the plan that it ran under: another than its order's where the rank had missed one
    tokens: int  # that were routed; padding rows are none
    rows: int  # that ran, padding included
    mixed: bool  # it read prompts
    step_time_s: float | None  # on the device; None: not known
    counts: np.ndarray | None  # int32 [layers, experts]: tokens that each expert received
    logits: SampledLogits | None  # where the order asked for them


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
