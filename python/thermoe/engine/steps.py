# SPDX-License-Identifier: Apache-2.0
"""What an engine's scheduler and those who run its model tell each other: the model once, then each step's order and
report."""
from __future__ import annotations

import dataclasses

import numpy as np

from ..routing import Router


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
    launch_time_s: float  # of that, in which the device had nothing else and waited for the host's launch; 0: not known
    counts: np.ndarray | None  # int32 [layers, experts]: tokens that each expert received
    logits: SampledLogits | None  # where the order asked for them
