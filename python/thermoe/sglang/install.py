# SPDX-License-Identifier: Apache-2.0
"""Puts the plug-in into a process of SGLang's, by SGLang's own hooks."""
from __future__ import annotations

import logging
import os
from collections.abc import Callable
from typing import Any

from .._sglang_entry import CONFIG
from ..engine.known import UnsupportedEngineError
from ..engine.settings import read_settings
from .compatibility import check_engine, check_signatures, check_version

_log = logging.getLogger("sglang.thermoe")
_MODEL = "thermoe"  # of a ModelRunner: its Loaded
_LOOP = "thermoe"  # of a Scheduler: its Governed
_SCHEDULER = "sglang.srt.managers.scheduler.Scheduler"
_RUNNER = "sglang.srt.model_executor.model_runner.ModelRunner"
_ROWS = 256  # of a sampled step, where the engine is not told how many requests it may run


class Loaded:
    """A model that is ours to route; governed once its scheduler's loop runs."""

    def __init__(self, rank: Any, settings: Any) -> None:
        self.rank, self.settings = rank, settings
        self.governed: Any = None


def install() -> None:
    """Registers the hooks; SGLang applies them before it makes an engine. A second call does nothing. Raises
    UnsupportedEngineError for an SGLang that is not known."""
    import sglang
    note = check_version(sglang.__version__)  # before anything of an unknown one is imported
    check_signatures()
    from sglang.srt.plugins.hook_registry import HookRegistry, HookType
    if any(hook is _making_a_scheduler for _, hook, _ in HookRegistry._hooks.get(f"{_SCHEDULER}.__init__", ())):
        return
    if note is not None:
        _log.warning("%s", note)
    for target, hook in _HOOKS.items():
        HookRegistry.register(target, hook, HookType.AROUND)


def _making_a_scheduler(stock: Callable[..., None], self: Any, server_args: Any, *arguments: Any, **keywords: Any) -> None:
    _require_hooks()
    for warning in check_engine(server_args):
        _log.warning("%s", warning)
    stock(self, server_args, *arguments, **keywords)


def _initializing(stock: Callable[..., Any], self: Any) -> Any:
    result = stock(self)
    if not self.is_draft_worker:
        from .binding import load
        settings = read_settings(os.environ[CONFIG])
        arguments = self.server_args
        rank = load(self.model, settings, redundant=int(arguments.ep_num_redundant_experts or 0),
                    most_rows=int(arguments.max_running_requests or _ROWS))
        setattr(self, _MODEL, Loaded(rank, settings))
        facts = rank.facts
        _log.info("%d MoE layers of %d experts, %d a token, of %s route under %s", facts.layers, facts.experts,
                  facts.router.k, facts.name, settings.path)
    return result


def _running(stock: Callable[..., Any], self: Any) -> Any:
    from .governed import Governed
    loaded = getattr(self.tp_worker.model_runner, _MODEL, None)
    if loaded is None:
        raise UnsupportedEngineError("the model was loaded without thermoe's hooks, so that no target would be held: unset "
                                     "THERMOE_CONFIG to serve it")
    governed = Governed(self, loaded.rank, loaded.settings)
    loaded.governed = governed
    setattr(self, _LOOP, governed)
    try:
        return stock(self)
    finally:
        governed.close()


def _ingesting(stock: Callable[..., Any], self: Any, stop_at_pause: bool = False) -> Any:
    received = stock(self, stop_at_pause)
    if (governed := getattr(self, _LOOP, None)) is not None:
        governed.pause(lambda: received.extend(stock(self, stop_at_pause)), stop_at_pause)
    return received


def _arriving(stock: Callable[..., Any], self: Any, *arguments: Any, **keywords: Any) -> Any:
    if (governed := getattr(self, _LOOP, None)) is not None:
        governed.arrive()
    return stock(self, *arguments, **keywords)


def _taking_a_result(stock: Callable[..., Any], self: Any, batch: Any, result: Any) -> Any:
    done = stock(self, batch, result)
    if (governed := getattr(self, _LOOP, None)) is not None:
        governed.take_result(batch)
    return done


def _idling(stock: Callable[..., Any], self: Any) -> Any:
    if (governed := getattr(self, _LOOP, None)) is not None:
        governed.idle()
    return stock(self)


def _running_a_step(stock: Callable[..., Any], self: Any, forward_batch: Any, *arguments: Any, **keywords: Any) -> Any:
    loaded = getattr(self, _MODEL, None)
    governed = None if loaded is None else loaded.governed
    if governed is None:  # before the loop: warm-up, as the model routes
        return stock(self, forward_batch, *arguments, **keywords)
    governed.begin(forward_batch)
    output = stock(self, forward_batch, *arguments, **keywords)
    governed.end()
    return output


_HOOKS: dict[str, Callable[..., Any]] = {
    f"{_SCHEDULER}.__init__": _making_a_scheduler,
    f"{_SCHEDULER}.run_event_loop": _running,
    f"{_SCHEDULER}.ingest_requests": _ingesting,
    f"{_SCHEDULER}.handle_generate_request": _arriving,
    f"{_SCHEDULER}.process_batch_result": _taking_a_result,
    f"{_SCHEDULER}.on_idle": _idling,
    f"{_RUNNER}.initialize": _initializing,
    f"{_RUNNER}.forward": _running_a_step,
}


def _require_hooks() -> None:
    """SGLang only logs a hook that it could not apply. Raises UnsupportedEngineError where one of ours is missing."""
    from sglang.srt.plugins.hook_registry import HookRegistry
    missing = [target for target in _HOOKS if target not in HookRegistry._patched]
    if missing:
        raise UnsupportedEngineError(f"SGLang has not applied the hooks on {', '.join(missing)}: no target would be held. Its log "
                                     "says why; unset THERMOE_CONFIG to serve without it")
