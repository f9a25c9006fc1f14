# SPDX-License-Identifier: Apache-2.0
"""Both halves of the plug-in, as installed, in vLLM's own engine core, scheduler, worker and MoE layers; played is the model
runner alone, without a GPU."""
import dataclasses
import json
import time
import types

import pytest
import vllm_engine

core = vllm_engine.import_vllm()

import vllm_here  # noqa: E402
import vllm_worker  # noqa: E402
from vllm.v1.executor.uniproc_executor import UniProcExecutor  # noqa: E402
from vllm.v1.worker import gpu_worker  # noqa: E402
from vllm_worker import LAYERS  # noqa: E402

from thermoe.vllm.install import install  # noqa: E402
from thermoe.vllm.worker import rank_of  # noqa: E402

EXPERTS, K = 128, 8  # Qwen3-30B-A3B's


class Worker(gpu_worker.Worker):
    """What an engine core asks of a worker before its first step."""
    for name in ("get_kv_cache_spec", "get_supported_kv_cache_layouts", "determine_available_memory", "compile_or_warm_up_model",
                 "get_supported_tasks", "initialize_from_config", "set_kv_cache_layout", "update_max_model_len", "shutdown"):
        locals()[name] = getattr(vllm_engine.PlayedWorker, name)
    del name


class Executor(UniProcExecutor):
    def _init_executor(self):
        self.driver_worker = vllm_worker.make_worker(
            self.vllm_config, Worker, make=lambda: vllm_worker.Model(num_experts=EXPERTS, top_k=K), experts=EXPERTS,
            asynchronous=self.vllm_config.scheduler_config.async_scheduling)
        self.driver_worker.load_model()


@pytest.fixture
def engine(tmp_path, monkeypatch):
    """Makes engines under what a settings file says; each keeps the reports that its controller was told of."""
    install()
    vllm_here.engine_config()  # groups of one rank
    monkeypatch.setattr(gpu_worker, "get_pp_group", lambda: types.SimpleNamespace(is_first_rank=True, is_last_rank=True))
    engines = []

    def make(keys, **options):
        config = vllm_engine.configuration(tmp_path, **options)
        if keys is not None:
            (tmp_path / "thermoe.json").write_text(json.dumps(keys))
            config.additional_config = {"thermoe": str(tmp_path / "thermoe.json")}
        engines.append(core.EngineCore(config, Executor, False))
        return engines[-1]

    yield make
    for one in engines:
        one.shutdown()


def counts_after(engine, tokens=20, requests=8):
    """Distinct experts of each layer in the last step of some requests."""
    name = time.monotonic()
    vllm_engine.add(engine, *(vllm_engine.request(f"{name}-{n}", prompt=3, tokens=tokens) for n in range(requests)))
    worker = engine.model_executor.driver_worker
    got, last = 0, None
    while engine.scheduler.has_requests() or engine.batch_queue:
        outputs, ran = engine.step_fn()
        got += sum(len(one.new_token_ids) for client in (outputs or {}).values() for one in client.outputs)
        if ran and (rank := rank_of(worker)) is not None:
            last = (rank.buffers.counts > 0).sum(1)
    assert got == tokens * requests
    return last


@pytest.mark.parametrize("async_scheduling", [False, True], ids=["sync", "async"])
def test_a_plan_that_changes_while_the_engine_serves_reaches_the_layers(engine, tmp_path, async_scheduling):
    made = engine({"plan": {"price": 0}}, async_scheduling=async_scheduling)
    plain = counts_after(made)
    rank = rank_of(made.model_executor.driver_worker)
    version = rank.version
    assert version > 0
    (tmp_path / "thermoe.json").write_text(json.dumps({"plan": {"price": 0.8, "k_min": 1}}))
    until = time.monotonic() + 30
    while rank.version == version and time.monotonic() < until:
        priced = counts_after(made, tokens=2)
        time.sleep(0.05)
    priced = counts_after(made)
    assert rank.version > version and (priced < plain // 2).all()


@pytest.mark.parametrize("async_scheduling", [False, True], ids=["sync", "async"])
def test_a_controller_sees_the_steps_and_prices_them(engine, source_dir, async_scheduling, monkeypatch):
    from thermoe.vllm import core_hooks
    sources = []
    stock = core_hooks.ControlSource
    monkeypatch.setattr(core_hooks, "ControlSource", lambda live: sources.append(stock(live)) or sources[-1])
    data = source_dir / "data" / "h100"
    made = engine({"power_w": 130, "step_period_ms": 2, "costed_as": "Qwen3-30B-A3B",
                   "cost_model": str(data / "kernel_cost_model.json"),
                   "config": {"control": {"tick_s": 0.02, "calibration_samples": 2},
                              "telemetry": {"source": "simulated", "plant": str(data / "plant.json"),
                                            "cost_model": str(data / "plant_cost_model.json")}}},
                  async_scheduling=async_scheduling)
    live = sources[0].lives()[0]
    until = time.monotonic() + 60
    while ((state := live.controller.state()).price == 0 or state.steps < 50) and time.monotonic() < until:
        counts_after(made)
    assert state.price > 0 and state.steps >= 50 and state.skipped == 0, state
    assert rank_of(made.model_executor.driver_worker).version > 1


def test_an_engine_that_nothing_is_asked_of_is_stock(engine, monkeypatch):
    monkeypatch.delenv("THERMOE_CONFIG", raising=False)
    made = engine(None)
    assert counts_after(made) is None
    assert made.scheduler.schedule.__func__ is type(made.scheduler).schedule


def test_facts_are_those_of_the_layers(engine):
    made = engine({"plan": {"price": 0}})
    facts = rank_of(made.model_executor.driver_worker).facts
    assert dataclasses.asdict(facts.router)["k"] == K and (facts.layers, facts.experts) == (LAYERS, EXPERTS)
