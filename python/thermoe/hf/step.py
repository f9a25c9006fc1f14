# SPDX-License-Identifier: Apache-2.0
"""The step under way: what its routers read, and what the controller is to see of it."""
import dataclasses
import time
from typing import Optional

import torch

from ..plan import HEADER, LAYER
from ..plan_block import DevicePlan, StepState


class StepPlan:
    """The plan's block and the step's state where layers route: a model may lie on several devices and be moved."""

    def __init__(self, layers: int, experts: int, k: int, block: memoryview) -> None:
        self.layers, self.experts, self.k = layers, experts, k
        self.block = bytes(block)
        self._number = 0
        self._prefill = False
        self._on: dict[torch.device, tuple[DevicePlan, StepState]] = {}

    def set(self, block: memoryview) -> None:
        self.block = bytes(block)
        for plan, _ in self._on.values():
            plan.update(self.block)

    def begin(self, *, prefill: bool) -> None:
        """The next step begins."""
        self._number += 1
        self._prefill = prefill
        for _, state in self._on.values():
            state.set(self._number, prefill=prefill)

    def at(self, device: torch.device) -> tuple[DevicePlan, StepState]:
        if device not in self._on:
            with torch.inference_mode(False):  # they are written outside of it, too
                plan, state = DevicePlan(self.layers, self.experts, self.k, device), StepState(device)
            plan.update(self.block)
            state.set(self._number, prefill=self._prefill)
            self._on[device] = (plan, state)
        return self._on[device]


def runs_as_plain(block: memoryview, layers: int, experts: int, k: int, *, priced: bool) -> bool:
    """Whether a plan's block leaves a router of k experts as it is, in a step with or without prices."""
    tables = HEADER.size + LAYER.size * layers

    def any_of(table: int) -> bool:
        at = tables + 4 * layers * experts * table
        return bool(bytes(block[at:at + 4 * layers * experts]).strip(b"\0"))

    rows = list(LAYER.iter_unpack(block[HEADER.size:tables]))  # k, k_min, shares
    if any_of(0) or any(row[0] != k or row[2] != 0 for row in rows):
        return False
    return not priced or all(row[1] >= k for row in rows) or not any_of(1)


@dataclasses.dataclass
class StepRecord:
    """What one step was; its time is read once the device has done it."""
    version: int
    sequences: int
    tokens: int
    mixed: bool  # it read prompts
    period_s: float
    logits: Optional[torch.Tensor] = None  # [layers, tokens, experts] on the CPU, once `ready`; None: not sampled
    counts: Optional[torch.Tensor] = None  # [layers, experts] i32, likewise: tokens that each expert received
    _started: float = dataclasses.field(default_factory=time.perf_counter)
    _ended: Optional[float] = None
    _events: Optional[tuple[torch.cuda.Event, torch.cuda.Event]] = None

    def start(self, device: torch.device) -> None:
        if device.type == "cuda":
            self._events = (torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True))
            self._events[0].record(torch.cuda.current_stream(device))

    def end(self, device: torch.device, sampled: list[tuple[torch.Tensor, torch.Tensor]]) -> None:
        """Takes gate logits and counts of each layer along, where they were sampled; nothing waits for them."""
        if sampled:
            self.logits, self.counts = (self._to_cpu(device, [layer[n] for layer in sampled]) for n in range(2))
        if self._events:
            self._events[1].record(torch.cuda.current_stream(device))
        self._ended = time.perf_counter()

    @staticmethod
    def _to_cpu(device: torch.device, layers: list[torch.Tensor]) -> torch.Tensor:
        on_device = torch.stack([layer.detach().to(device) for layer in layers])
        if on_device.dtype == torch.float64:
            on_device = on_device.float()
        if device.type == "cpu":
            return on_device
        return torch.empty(on_device.shape, dtype=on_device.dtype, pin_memory=True).copy_(on_device, non_blocking=True)

    def ready(self) -> bool:
        return self._events is None or bool(self._events[1].query())

    def seconds(self) -> float:
        if self._events:
            return float(self._events[0].elapsed_time(self._events[1])) / 1000
        assert self._ended is not None
        return self._ended - self._started
