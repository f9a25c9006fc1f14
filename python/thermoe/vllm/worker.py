# SPDX-License-Identifier: Apache-2.0
"""A worker from its start to its steps: what happens around vLLM's load_model, execute_model and sample_tokens."""
from __future__ import annotations

import contextlib
import contextvars
import dataclasses
from collections.abc import Iterator
from typing import Any

import torch
from vllm.logger import init_logger

from ..engine.known import UnsupportedEngineError
from ..engine.rank import gpu_of
from ..engine.route_into import route_into
from ..engine.settings import Settings
from ..engine.step_buffers import StepBuffers
from .binding import bind, find_layers, model_facts
from .compatibility import check_engine
from .messages import keep_facts, order_of
from .rank import Rank
from .router import PricedRouter
from .settings import settings_of

_log = init_logger("vllm.thermoe")
_RANK = "thermoe_rank"  # of a worker


@dataclasses.dataclass
class Loading:
    """A model that is being loaded for us."""
    settings: Settings
    refused: list[str] = dataclasses.field(default_factory=list)  # why routers were left as they are


_loading: contextvars.ContextVar[Loading | None] = contextvars.ContextVar("thermoe_loading", default=None)


@contextlib.contextmanager
def loading(config: Any) -> Iterator[Loading | None]:
    """While a worker of this VllmConfig loads its model. None: nothing is asked of it. Raises what cannot be served."""
    settings = settings_of(config)
    if settings is None:
        yield None
        return
    now = Loading(settings)
    for warning in check_engine(config):
        _log.warning("%s", warning)
    before = _loading.set(now)
    try:
        yield now
    finally:
        _loading.reset(before)


def wrap_router(router: Any, logical_experts: int | None) -> Any:
    """Ours around a router that a layer is built with, where its model is loaded for us and it can be told how to
    route."""
    now = _loading.get()
    if now is None:
        return router
    try:
        return PricedRouter(router, logical_experts or router.global_num_experts)
    except UnsupportedEngineError as error:
        now.refused.append(str(error))  # the binding refuses the model; a layer of another might be built first
        return router


def start(worker: Any, now: Loading) -> None:
    """Has a loaded model route under a plan from now on: before it is profiled and captured."""
    model, config = worker.model_runner.get_model(), worker.vllm_config
    device = torch.device(worker.device)
    layers = find_layers(model, now.refused)
    facts = model_facts(model, layers, denominator=now.settings.denominator,
                        most_rows=config.scheduler_config.max_num_seqs, gpu=gpu_of(device))
    buffers = StepBuffers(facts.layers, facts.experts, facts.router.k, facts.most_rows, device)
    bind(layers, buffers, route_into(device), now.settings.denominator)
    setattr(worker, _RANK, Rank(facts, buffers, _graph_sizes(config)))
    keep_facts(worker, facts)
    _log.info("%d MoE layers of %d experts, %d a token, of %s route under %s", facts.layers, facts.experts,
              facts.router.k, facts.name, now.settings.path)


def rank_of(worker: Any) -> Rank | None:
    """None: nothing is asked of this worker."""
    return getattr(worker, _RANK, None)


def before_step(worker: Any, scheduler_output: Any) -> None:
    rank, tokens = rank_of(worker), scheduler_output.total_num_scheduled_tokens
    if rank is not None and tokens > 0:
        rank.begin(order_of(scheduler_output), tokens)


def after_step(worker: Any, output: Any) -> Any:
    """The output of a step that is all enqueued, with reports of steps that the device has done."""
    rank = rank_of(worker)
    if rank is None:
        return output
    rank.end()
    return rank.attach_reports(output)


def _graph_sizes(config: Any) -> list[int]:
    compilation = config.compilation_config
    mode = compilation.cudagraph_mode
    return list(compilation.cudagraph_capture_sizes or ()) if mode is not None and mode.name != "NONE" else []
