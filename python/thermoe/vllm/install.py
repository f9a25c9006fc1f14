# SPDX-License-Identifier: Apache-2.0
"""Puts the plug-in into a process of vLLM's: wraps names of it, and nothing else."""
from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .wrapping import is_wrapped, wrap


def install() -> None:
    """Wraps what a worker loads its model and runs its steps by, and what makes an engine core. Nothing changes for
    engines that nothing is asked of. A second call does nothing. Raises UnsupportedEngineError for a vLLM that is not
    known."""
    import vllm

    from . import compatibility
    note = compatibility.check_version(vllm.__version__)  # before anything of an unknown one is imported
    from vllm.logger import init_logger
    from vllm.model_executor.layers.fused_moe import layer
    from vllm.v1.worker.gpu_worker import Worker

    from .core_hooks import CORE_SIGNATURES, install_core_hooks
    from .settings import settings_of
    if not is_wrapped(layer, "create_fused_moe_router"):
        compatibility.check_signatures({**compatibility.WORKER_SIGNATURES, **CORE_SIGNATURES})
        compatibility.check_signatures(compatibility.ROUTER_PARAMETERS, others=True)
        if note is not None:
            init_logger("vllm.thermoe").warning("%s", note)
        wrap(layer, "create_fused_moe_router", _building_routers)
        wrap(Worker, "load_model", _loading_a_model)
        wrap(Worker, "execute_model", _running_a_step)
        wrap(Worker, "sample_tokens", _ending_a_step)
    install_core_hooks(settings_of)


def _building_routers(stock: Callable[..., Any]) -> Callable[..., Any]:
    from .worker import wrap_router
    signature = inspect.signature(stock)

    def create_fused_moe_router(*arguments: Any, **keywords: Any) -> Any:
        given = signature.bind(*arguments, **keywords).arguments
        return wrap_router(stock(*arguments, **keywords), given.get("num_logical_experts"))
    return create_fused_moe_router


def _loading_a_model(stock: Callable[..., Any]) -> Callable[..., Any]:
    from .worker import loading, start

    def load_model(self: Any, *arguments: Any, **keywords: Any) -> Any:
        with loading(self.vllm_config) as now:
            result = stock(self, *arguments, **keywords)
        if now is not None:  # out of the memory pool of weights, which may be put to sleep
            start(self, now)
        return result
    return load_model


def _running_a_step(stock: Callable[..., Any]) -> Callable[..., Any]:
    from .worker import after_step, before_step

    def execute_model(self: Any, scheduler_output: Any) -> Any:
        before_step(self, scheduler_output)
        output = stock(self, scheduler_output)
        return output if output is None else after_step(self, output)  # None: sample_tokens ends the step
    return execute_model


def _ending_a_step(stock: Callable[..., Any]) -> Callable[..., Any]:
    from .worker import after_step

    def sample_tokens(self: Any, grammar_output: Any) -> Any:
        return after_step(self, stock(self, grammar_output))
    return sample_tokens
