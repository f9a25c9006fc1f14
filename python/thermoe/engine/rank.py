# SPDX-License-Identifier: Apache-2.0
"""One rank's steps: a step's order goes to the device before it, and what it did comes back. Nothing waits for that."""
from __future__ import annotations

import collections
import threading
import time
from collections.abc import Sequence
import numpy as np
import torch

from ..plan import RoutingPlan
from .step_buffers import NO_SAMPLE, WORDS, StepBuffers
from .steps import ModelFacts, SampledLogits, StepOrder, StepReport

_KEPT = 16  # steps whose reports nobody takes, as on ranks whose outputs are not wanted; older ones are let go


class Flight:
    """One step between its order and its report: pinned memory, which the device reads and writes meanwhile."""

    def __init__(self, buffers: StepBuffers) -> None:
        self._device = buffers.device
        self._cuda = buffers.device.type == "cuda"
        with torch.inference_mode(False):
            self.words = torch.zeros(WORDS, dtype=torch.int32, pin_memory=self._cuda)
            self.block = torch.zeros(buffers.plan.block.shape, dtype=torch.uint8, pin_memory=self._cuda)
            self.counts = torch.zeros(buffers.counts.shape, dtype=torch.int32, pin_memory=self._cuda)
        self.values = self.words.numpy()
        self.number_value = self.values[:2].view(np.int64)
        self._events = [torch.cuda.Event(enable_timing=True) for _ in range(2)] if self._cuda else []
        self._times = [0.0, 0.0]
        self.slot = NO_SAMPLE
        self.number = self.version = self.tokens = self.rows = 0
        self.mixed = False
        self.alone = False  # the device had done all before it when it began

    def mark(self, which: int) -> None:
        """The start (0) or the end (1) of the step on the device."""
        if self._cuda:
            self._events[which].record(torch.cuda.current_stream(self._device))
        self._times[which] = time.perf_counter()

    def ready(self) -> bool:
        return not self._cuda or bool(self._events[1].query())

    def seconds(self) -> float:
        if self._cuda:
            return float(self._events[0].elapsed_time(self._events[1])) / 1000
        return self._times[1] - self._times[0]

    def launch_seconds(self) -> float:
        return self._times[1] - self._times[0] if self._cuda and self.alone else 0.0


class Rank:
    """What a worker keeps: begin before a step, end after it, and reports of steps that the device has done.

    `begin` and `end` are called by the thread that runs the model, in torch's current stream; `take_reports` by any.
    """

    def __init__(self, facts: ModelFacts, buffers: StepBuffers, graph_sizes: list[int]) -> None:
        self.facts = facts
        self.buffers = buffers
        self.version = 0  # of the plan in force
        self._baseline = RoutingPlan.baseline(facts.layers, facts.experts, facts.router.k).to_bytes()
        self._graph_sizes = sorted(graph_sizes)
        self._sampled: list[torch.Tensor | None] = [None, None]  # pinned, by slot, made when first wanted
        self._current: Flight | None = None
        # Shared with the thread that makes outputs:
        self._lock = threading.Lock()
        self._free = [Flight(buffers) for _ in range(8)]  # as many as are under way: pinned memory is slow to make
        self._pending: collections.deque[Flight] = collections.deque()
        self._done: collections.deque[Flight] = collections.deque()
        self._slots = {0, 1}  # that no step's logits are in

    def set_graph_sizes(self, sizes: Sequence[int]) -> None:
        """Rows of captured graphs, where they are known only once these are captured."""
        self._graph_sizes = sorted(sizes)

    def begin(self, order: StepOrder | None, tokens: int) -> None:
        """Enqueues what holds for a step of so many tokens."""
        if order is None:  # nobody decides for this step: as the model routes
            order = StepOrder(number=0, version=0, block=self._baseline if self.version else None, valid_tokens=tokens,
                              prefill=True, sample=False)
        flight = self._next(sampled=order.sample and order.valid_tokens <= self.buffers.rows)
        self._current = flight  # its slot is free again where what follows raises
        if order.block is not None and order.version != self.version:
            self.buffers.plan.update(order.block, staging=flight.block)
            self.version = order.version
        flight.mark(0)
        flight.number, flight.version, flight.mixed = order.number, self.version, order.prefill
        flight.tokens, flight.rows = order.valid_tokens, self._rows(order.valid_tokens)
        flight.number_value[0] = order.number
        flight.values[2:] = (order.valid_tokens, int(order.prefill), flight.slot)
        self.buffers.words.copy_(flight.words, non_blocking=True)

    def end(self) -> None:
        """Enqueues the read-back of what the step that began did."""
        flight, self._current = self._current, None
        if flight is None:
            return
        flight.counts.copy_(self.buffers.counts, non_blocking=True)
        samples = self.buffers.samples
        if flight.slot != NO_SAMPLE and samples is not None:
            # In one piece on both sides, or the copy would go through memory that is not pinned.
            self._pinned(flight, samples).copy_(samples[flight.slot, :, :flight.tokens].contiguous(), non_blocking=True)
        flight.mark(1)
        with self._lock:
            self._pending.append(flight)

    def take_reports(self) -> list[StepReport]:
        """Those of steps that the device has done since the last call, oldest first."""
        with self._lock:
            self._collect()
            done = list(self._done)
            self._done.clear()
        reports = [self._report(flight) for flight in done]
        with self._lock:
            for flight in done:
                self._release(flight)
        return reports

    def _next(self, *, sampled: bool) -> Flight:
        with self._lock:
            if self._current is not None:  # of a step that failed; the device may still read its words
                self._slots.add(self._current.slot)
                self._slots.discard(NO_SAMPLE)
            self._collect()
            alone = not self._pending
            flight = self._free.pop() if self._free else None
            slot = self._slots.pop() if sampled and self._slots else NO_SAMPLE
        flight = flight or Flight(self.buffers)
        flight.slot, flight.alone = slot, alone
        return flight

    def _collect(self) -> None:
        while self._pending and self._pending[0].ready():
            self._done.append(self._pending.popleft())
        while len(self._done) > _KEPT:
            self._release(self._done.popleft())

    def _release(self, flight: Flight) -> None:
        if flight.slot != NO_SAMPLE:
            self._slots.add(flight.slot)
        self._free.append(flight)

    def _report(self, flight: Flight) -> StepReport:
        return StepReport(number=flight.number, version=flight.version, tokens=flight.tokens, rows=flight.rows,
                          mixed=flight.mixed, step_time_s=flight.seconds(),
                          launch_time_s=flight.launch_seconds(), counts=flight.counts.numpy().copy(),
                          logits=self._logits(flight))

    def _logits(self, flight: Flight) -> SampledLogits | None:
        samples = self.buffers.samples
        if flight.slot == NO_SAMPLE or samples is None:
            return None
        values = self._pinned(flight, samples)
        words = values.view(torch.uint16) if values.dtype == torch.bfloat16 else values
        return SampledLogits(values=words.numpy().copy(), dtype=str(values.dtype).removeprefix("torch."))

    def _pinned(self, flight: Flight, samples: torch.Tensor) -> torch.Tensor:
        """[layers, tokens, experts] in the slot's pinned memory."""
        memory = self._sampled[flight.slot]
        if memory is None:
            with torch.inference_mode(False):
                memory = torch.zeros(samples[0].numel(), dtype=samples.dtype, pin_memory=samples.device.type == "cuda")
            self._sampled[flight.slot] = memory
        shape = (samples.shape[1], flight.tokens, samples.shape[3])
        return memory[:shape[0] * shape[1] * shape[2]].view(shape)

    def _rows(self, tokens: int) -> int:
        """Rows that run: a captured graph's, where one is large enough."""
        return next((size for size in self._graph_sizes if size >= tokens), tokens)


def gpu_of(device: torch.device) -> str | None:
    """Its UUID as NVML names it; None: it is no GPU."""
    if device.type != "cuda":
        return None
    uuid = str(torch.cuda.get_device_properties(device).uuid)
    return uuid if uuid.startswith("GPU-") else f"GPU-{uuid}"
