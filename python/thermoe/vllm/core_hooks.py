# SPDX-License-Identifier: Apache-2.0
"""The wraps in the process that schedules. One class is touched, vLLM's EngineCore; the rest is set on each engine.

vLLM's loop, and where it is entered:

    _process_input_queue   then waits until the next step may start, woken by what comes in
    scheduler.schedule     then the step gets its order
    scheduler.update_from_output   the one place that every step's output passes: then its reports are taken
    shutdown               first ends the control
"""
from __future__ import annotations

import logging
import queue
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..engine.engine_controller import EngineShape, agreed
from ..engine.governor import Start
from ..engine.said import Guard
from ..engine.settings import Settings
from ..engine.start_control import start_control
from .core import Governor, Requests
from .messages import facts_of, order_of
from .wrapping import wrap

if TYPE_CHECKING:
    from vllm.config import VllmConfig

SettingsSource = Callable[["VllmConfig"], "Settings | None"]

#: What is called or replaced, with its parameters, for a look at an unknown vLLM before anything is.
CORE_SIGNATURES: dict[str, tuple[str, ...]] = {
    "vllm.v1.engine.core:EngineCore.step": ("self",),
    "vllm.v1.engine.core:EngineCore.step_with_batch_queue": ("self",),
    "vllm.v1.engine.core:EngineCore.shutdown": ("self",),
    "vllm.v1.engine.core:EngineCoreProc.is_running": ("self",),
    "vllm.v1.engine.core:EngineCoreProc._process_input_queue": ("self",),
    "vllm.v1.engine.core:EngineCoreProc._process_engine_step": ("self",),
    "vllm.v1.engine.core:EngineCoreProc._handle_client_request": ("self", "request_type", "request"),
    "vllm.v1.core.sched.scheduler:Scheduler.schedule": ("self", "throttle_prefills"),
    "vllm.v1.core.sched.scheduler:Scheduler.update_from_output": ("self", "scheduler_output", "model_runner_output"),
    "vllm.v1.core.sched.scheduler:Scheduler.add_request": ("self", "request"),
    "vllm.v1.core.sched.scheduler:Scheduler.has_requests": ("self",),
    "vllm.v1.core.sched.scheduler:Scheduler.get_request_counts": ("self",),
}

_log = logging.getLogger("vllm.thermoe")
_RENEWED_S = 0.1  # into a pause: what was decided meanwhile may end it


def install_core_hooks(settings_source: SettingsSource) -> None:
    """Has each engine that is made from now on run under the settings that it is given; None: it stays vLLM's own. A
    second time it does nothing."""
    from vllm.v1.engine.core import EngineCore

    def governed(stock: Callable[..., None]) -> Callable[..., None]:
        def __init__(self: Any, *arguments: Any, **keywords: Any) -> None:
            stock(self, *arguments, **keywords)
            settings = settings_source(self.vllm_config)
            if settings is None:
                return
            try:
                govern(self, settings)
            except BaseException:
                self.shutdown()  # its workers would outlive the error
                raise
        return __init__

    wrap(EngineCore, "__init__", governed)


def govern(engine: Any, settings: Settings) -> None:
    """Opens an engine's controller and puts the engine under it. Raises what says that it cannot be."""
    facts, gpus = agreed(engine.model_executor.collective_rpc(facts_of))
    shape = _shape(engine.vllm_config)
    source, end = start_control(facts, gpus, settings, shape)
    try:
        paces = engine.vllm_config.parallel_config.data_parallel_size == 1  # others would wait for us in each step
        _hook(engine, Governor(facts, source, batch_limit=shape.batch_limit, paces=paces), end)
    except BaseException:
        end()
        raise


def _shape(vllm_config: Any) -> EngineShape:
    compilation = vllm_config.compilation_config
    captured = getattr(compilation.cudagraph_mode, "name", "NONE") != "NONE"
    sizes = sorted(set(compilation.cudagraph_capture_sizes or ())) if captured else []
    names = vllm_config.model_config.served_model_name
    return EngineShape(batch_limit=vllm_config.scheduler_config.max_num_seqs, graph_sizes=tuple(sizes),
                       model_name=names if isinstance(names, str) else names[0])


def _hook(engine: Any, governor: Governor, end: Callable[[], None]) -> None:
    """Replaces bound methods of this engine and its scheduler."""
    from vllm.v1.engine.core import EngineCoreProc
    scheduler = engine.scheduler
    schedule, update, add = scheduler.schedule, scheduler.update_from_output, scheduler.add_request
    has_requests, shutdown = scheduler.has_requests, engine.shutdown
    loop = _Loop(engine, governor)
    guard = Guard(_log)

    def schedule_with_order(*arguments: Any, **keywords: Any) -> Any:
        started = governor.clock()
        output = schedule(*arguments, **keywords)
        with guard:
            governor.schedule(output, started, loop.requests())
        return output

    def update_with_reports(scheduler_output: Any, model_runner_output: Any) -> Any:
        outputs = update(scheduler_output, model_runner_output)
        with guard:
            governor.update(order_of(scheduler_output), model_runner_output, loop.requests(), idle=not has_requests())
        return outputs

    def add_counted(*arguments: Any, **keywords: Any) -> Any:
        governor.arrive()
        return add(*arguments, **keywords)

    def shut_down() -> None:
        with guard:
            end()  # a second time there is nothing left to do
        shutdown()

    scheduler.schedule, scheduler.update_from_output = schedule_with_order, update_with_reports
    scheduler.add_request = add_counted
    scheduler.has_requests = lambda: not loop.draining and has_requests()
    engine.shutdown = shut_down
    if isinstance(engine, EngineCoreProc):  # a process of its own
        take_input = engine._process_input_queue

        def take_input_and_pause() -> None:
            take_input()
            loop.pause(guard)

        engine._process_input_queue = take_input_and_pause
    else:
        step = engine.step_fn
        engine.step_fn = lambda: loop.step_after_pause(step, guard)


class _Loop:
    """Waits before scheduling."""

    def __init__(self, engine: Any, governor: Governor) -> None:
        self._engine = engine
        self._governor = governor
        self.draining = False  # the scheduler then says that it has nothing to schedule

    def requests(self) -> Requests:
        return Requests(*self._engine.scheduler.get_request_counts())

    def pause(self, guard: Guard) -> None:
        """Handles what comes in meanwhile. An arrival that may be admitted ends the pause, as shutdown does."""
        engine = self._engine
        while engine.is_running() and (start := self._next_start(guard)) is not None:
            if engine.batch_queue and start.alone:
                self._drain(engine._process_engine_step)  # finished tokens are not to wait with us
                continue
            if (left_s := start.at - self._governor.clock()) <= 0:
                return
            try:
                request = engine.input_queue.get(timeout=min(left_s, _RENEWED_S))
                while True:  # all that has come, as vLLM's own
                    engine._handle_client_request(*request)
                    request = engine.input_queue.get_nowait()
            except queue.Empty:
                pass

    def step_after_pause(self, step: Callable[[], Any], guard: Guard) -> Any:
        """In process nothing can come in meanwhile."""
        if (start := self._next_start(guard)) is not None:
            if self._engine.batch_queue and start.alone:
                return self._drain(step)
            if (left_s := start.at - self._governor.clock()) > 0:
                time.sleep(left_s)
        return step()

    def _next_start(self, guard: Guard) -> Start | None:
        with guard:
            return self._governor.next_start(self.requests())
        return None

    def _drain(self, step: Callable[[], Any]) -> Any:
        """The oldest batch that runs is waited for and its tokens handed out; no other is scheduled."""
        self.draining = True
        try:
            return step()
        finally:
            self.draining = False
