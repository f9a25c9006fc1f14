# SPDX-License-Identifier: Apache-2.0
"""One scheduler's process, which schedules and runs: orders before its forward calls, reports after its results.

    Scheduler.ingest_requests       then waits until the next step may start, and goes on taking requests meanwhile
    ModelRunner.forward             in the stream of the step: first its order, last the read-back
    Scheduler.process_batch_result  then reports of steps that the device has done are taken
"""
from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable
from typing import Any

from ..engine.engine_controller import EngineShape, agreed
from ..engine.governor import Governor, Requests
from ..engine.rank import Rank
from ..engine.said import Guard, SaidOnce
from ..engine.settings import Settings, SettingsError, read_settings
from ..engine.start_control import start_control

_log = logging.getLogger("sglang.thermoe")
_POLL_S = 0.002  # between two looks at what comes in, in a pause
_COUNTED = "thermoe_counted"  # of a request that has ended


class Governed:
    """All methods are the scheduler's thread's."""

    def __init__(self, scheduler: Any, rank: Rank, settings: Settings) -> None:
        """Opens its controller. Raises what says that it cannot be."""
        self._scheduler = scheduler
        self._rank = rank
        overlaps = bool(scheduler.enable_overlap)
        arguments = scheduler.server_args
        sizes = tuple(sorted(set(scheduler.tp_worker.model_runner.decode_cuda_graph_capture_bs)))
        rank.set_graph_sizes(sizes)
        shape = EngineShape(batch_limit=int(scheduler.max_running_requests), graph_sizes=sizes,
                            model_name=str(arguments.served_model_name or arguments.model_path))
        facts, gpus = agreed([rank.facts])
        if settings.plan is None and shape.batch_limit > facts.most_rows:
            _log.warning("decode steps of more than %d rows are not sampled, so that nothing new is decided in them: this "
                         "engine may run %d requests. --max-running-requests has their logits kept too", facts.most_rows,
                         shape.batch_limit)
        source, self._end = start_control(facts, gpus, as_paced(settings, overlaps), shape,
                                          read=lambda path: as_paced(read_settings(path), overlaps))
        self._governor = Governor(facts, source, batch_limit=shape.batch_limit, paces=not overlaps)
        self._guard = Guard(_log)
        self._said = SaidOnce(_log)

    def close(self) -> None:
        with self._guard:
            self._end()

    def arrive(self) -> None:
        self._governor.arrive()

    def idle(self) -> None:
        self._governor.idle()

    def pause(self, ingest: Callable[[], Any], stop_at_pause: bool) -> None:
        """Until the next step may start; a request that may be admitted ends it."""
        while not stop_at_pause and not self._scheduler.gracefully_exit:
            start = None
            with self._guard:
                start = self._governor.next_start(self._requests())
            left_s = 0.0 if start is None else start.at - self._governor.clock()
            if left_s <= 0:
                return
            time.sleep(min(left_s, _POLL_S))
            ingest()

    def begin(self, forward_batch: Any) -> None:
        order, tokens, mixed = None, *tokens_of(forward_batch)
        if tokens == 0:
            return
        with self._guard:
            order = self._governor.begin(tokens=tokens, mixed=mixed, started=self._governor.clock(), requests=self._requests())
        self._rank.begin(order, tokens)

    def end(self) -> None:
        self._rank.end()

    def take_result(self, batch: Any) -> None:
        with self._guard:
            ended = [request for request in batch.reqs if request.finished() and not hasattr(request, _COUNTED)]
            for request in ended:
                setattr(request, _COUNTED, True)
            self._governor.finish(len(ended))
            reports = self._rank.take_reports()
            for report in reports:
                if report.counts is not None and not report.counts.any(axis=1).all():
                    self._said.error("a MoE layer routed nothing in a step: it does not ask its TopK, so that prices do not reach "
                                     "it and no target is held by it")
            self._governor.end(None, reports, self._requests(), idle=False)

    def _requests(self) -> Requests:
        scheduler = self._scheduler
        running = sum(not request.finished() for request in scheduler.running_batch.reqs)  # those that have ended leave it later
        return Requests(running=running, waiting=len(scheduler.waiting_queue))


def tokens_of(forward_batch: Any) -> tuple[int, bool]:
    """Rows of a step that are tokens, and whether it reads prompts."""
    mode = forward_batch.forward_mode
    if mode.is_decode():
        return int(forward_batch.batch_size), False
    return (0 if mode.is_idle() else int(forward_batch.extend_num_tokens or 0)), True


def as_paced(settings: Settings, overlaps: bool) -> Settings:
    """Without pauses where SGLang overlaps steps: a pause would hold back tokens of the step before, as it looks at them
    only when the next one runs. Raises SettingsError where pauses are asked for."""
    if not overlaps or settings.plan is not None:
        return settings
    for key in ("step_period_ms", "objective"):
        if (value := getattr(settings, key)) not in (None, "throughput"):
            raise SettingsError(f"{settings.path}: {key} is {value!r}: steps cannot be paced while SGLang overlaps them; leave it "
                                "out, or serve with --disable-overlap-schedule")
    if settings.objective is None:
        _log.warning("SGLang overlaps steps: they are not paced, and targets are held by prices alone. --disable-overlap-schedule "
                     "has them paced")
    return dataclasses.replace(settings, objective="throughput")
