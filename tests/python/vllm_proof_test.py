# SPDX-License-Identifier: Apache-2.0
"""The parts of tools/vllm_proof that look into vLLM, in vLLM's own engine, scheduler and router classes on a CPU; workers are played."""
import json
import struct
import sys
import time
import types

import numpy as np
import pytest
import torch
import vllm_engine

core = vllm_engine.import_vllm()

import vllm_here  # noqa: E402
import vllm_worker  # noqa: E402
from vllm.model_executor.layers.fused_moe.router.fused_moe_router import FusedMoERouter  # noqa: E402
from vllm.v1.worker import gpu_worker  # noqa: E402
from vllm.v1.worker.gpu_model_runner import GPUModelRunner  # noqa: E402

from thermoe.plan import RoutingPlan  # noqa: E402
from thermoe.plan_block import DevicePlan, StepState  # noqa: E402
from thermoe.routing import Router, route  # noqa: E402
from thermoe.vllm import core_hooks  # noqa: E402
from thermoe.vllm.settings import read_settings  # noqa: E402
from thermoe.vllm.wrapping import STOCK  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def tools(source_dir):
    folders = [str(source_dir / "tools/vllm_proof"), str(source_dir / "tools")]
    sys.path[0:0] = folders
    yield
    for folder in folders:
        sys.path.remove(folder)


# --- The recorded router

def trace(folder, logits, k=4, **header):
    """A file of router logits [samples, layers, tokens, experts]."""
    data = logits.astype(np.float32).tobytes()
    said = {"__metadata__": {"k": str(k)},
            "router_logits": {"dtype": "F32", "shape": list(logits.shape), "data_offsets": [0, len(data)], **header}}
    text = json.dumps(said).encode()
    path = folder / "logits.safetensors"
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def recorded(samples=2, layers=vllm_worker.LAYERS, tokens=4, experts=vllm_worker.EXPERTS, seed=3):
    return np.random.default_rng(seed).normal(size=(samples, layers, tokens, experts))


def test_a_row_is_a_token_of_a_sample_in_all_layers(tmp_path):
    import recorded_gate
    logits = recorded()
    k, rows = recorded_gate.read_logits(trace(tmp_path, logits))
    assert (k, rows.shape) == (4, (vllm_worker.LAYERS, 8, vllm_worker.EXPERTS))
    assert np.array_equal(rows[2, 5], logits[1, 2, 1].astype(np.float32))


@pytest.mark.parametrize("spoil", [lambda path: path.write_bytes(b"{}"), lambda path: trace(path.parent, recorded(), dtype="BF16"),
                                   lambda path: path.write_bytes(path.read_bytes()[:-8])])
def test_what_is_no_such_file_is_refused_by_name(tmp_path, spoil):
    import recorded_gate
    path = trace(tmp_path, recorded())
    spoil(path)
    with pytest.raises(ValueError, match="logits.safetensors: no file of router logits"):
        recorded_gate.read_logits(path)


def test_rows_follow_from_request_and_position_and_spread_over_all():
    from recorded_gate import rows_of
    whole = rows_of(["1.7"], [0], [300], 1024)
    assert np.array_equal(whole, rows_of(["1.7"], [0], [300], 1024))
    assert np.array_equal(whole[250:252], rows_of(["1.7"], [250], [2], 1024))
    assert not np.array_equal(whole, rows_of(["1.8"], [0], [300], 1024))
    assert np.array_equal(rows_of(["a", "b", "1.7"], [40, 0, 299], [1, 3, 1], 1024),
                          np.concatenate([rows_of(["a"], [40], [1], 1024), rows_of(["b"], [0], [3], 1024), whole[299:]]))
    drawn = rows_of([f"1.{i}" for i in range(200)], [0] * 200, [288] * 200, 1024)
    counts = np.bincount(drawn, minlength=1024)
    assert counts.min() > 20 and counts.max() < 100  # 56 on average
    pairs = set(zip(drawn[:-1].tolist(), drawn[1:].tolist()))
    assert len(pairs) > 0.9 * len(drawn)  # what follows a row is another one each time


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The recorded router in vLLM's classes, which are as before after the test."""
    import recorded_gate
    from arrivals import number_of
    for owner, name in ((gpu_worker.Worker, "load_model"), (GPUModelRunner, "_prepare_inputs"), (FusedMoERouter, "select_experts")):
        monkeypatch.setattr(owner, name, getattr(getattr(owner, name), STOCK, getattr(owner, name)))
    monkeypatch.setattr(GPUModelRunner, "_prepare_inputs", lambda self, scheduler_output, num_scheduled_tokens: "prepared")
    logits = recorded()
    recorded_gate.install(trace(tmp_path, logits), number_of)
    return logits.transpose(1, 0, 2, 3).reshape(vllm_worker.LAYERS, 8, vllm_worker.EXPERTS)


class Runner(vllm_worker.Runner, GPUModelRunner):
    """vLLM's own, as far as its class goes."""


def loaded(monkeypatch, **more):
    monkeypatch.setattr(gpu_worker, "get_pp_group", lambda: types.SimpleNamespace(is_first_rank=True, is_last_rank=True))
    monkeypatch.setattr(vllm_worker, "Runner", Runner)
    worker = vllm_worker.make_worker(vllm_here.engine_config(), **more)
    worker.load_model()
    return worker


def test_stock_routers_route_by_the_recorded_logits_of_a_steps_tokens(installed, monkeypatch):
    from recorded_gate import rows_of
    runner = loaded(monkeypatch).model_runner
    runner.input_batch = types.SimpleNamespace(req_ids=["4/1.3-0a0b0c0d", "4/1.9-00000000"], num_computed_tokens_cpu=np.array([17, 0]))
    assert GPUModelRunner._prepare_inputs(runner, None, np.array([1, 3])) == "prepared"
    rows = rows_of(["1.3", "1.9"], [17, 0], [1, 3], 8)
    runner.run(4)
    for layer, module in enumerate(runner.model.layers):
        weights, ids = module.routed_experts.seen
        own = torch.from_numpy(installed[layer][rows]).to(torch.bfloat16).float()
        assert torch.equal(ids.long().sort(1).values, own.topk(vllm_worker.K).indices.sort(1).values)


def test_a_recorded_router_of_another_shape_is_refused(installed, monkeypatch):
    with pytest.raises(ValueError, match="the recorded router has 3 layers of 32 experts, the model 1 of"):
        loaded(monkeypatch, make=lambda: torch.nn.ModuleList([vllm_here.moe_layer("model.layers.0.mlp.experts")]))


# --- Kept mass

def test_kept_mass_is_worked_out_from_the_logits_and_the_plan_that_ran():
    from kept_mass import kept_mass
    router = Router(k=8, denominator="reference")
    logits = (1.5 * torch.randn(4, 6, 128, generator=torch.Generator().manual_seed(5))).bfloat16()
    values = logits.view(torch.int16).numpy().view(np.uint16)

    def sampled(plan):
        return [(0.0, 9, 6, plan.to_bytes(), values, "bfloat16")]
    assert kept_mass([], router) is None
    assert kept_mass(sampled(RoutingPlan.baseline(4, 128, 8)), router) == {
        "samples": 1, "kept_mass": 1.0, "loss_nats": 0.0, "price": 0.0, "k": 8.0, "k_min": 8.0}
    priced = RoutingPlan.priced(4, 128, 8, price=0.2)
    found = kept_mass(sampled(priced), router)
    plan, step = DevicePlan(4, 128, 8), StepState()
    plan.update(priced.to_bytes())
    step.set(step=9, valid=6)
    own = torch.stack([route(logits[layer], router, plan=plan, layer=layer, step=step).kept_mass for layer in range(4)])
    assert 0.3 < found["kept_mass"] < 0.99
    assert found["kept_mass"] == pytest.approx(float(own.mean()), rel=1e-5)
    assert found["loss_nats"] == pytest.approx(float(-own.log().mean()), rel=1e-5)
    assert (found["price"], found["k_min"]) == (pytest.approx(0.2), 1.0)


# --- A whole engine, whose worker is played

class Rank(vllm_engine.PlayedRank):
    """Calls mixed what its order does, as a real one."""

    def run(self, order, step_time_s, mixed):
        return super().run(order, step_time_s, order.prefill)


@pytest.fixture
def governed(tmp_path):
    """vLLM's LLMEngine in this process, its core under the plug-in with a plan that stays."""
    from vllm.v1.engine.llm_engine import LLMEngine
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    file = tmp_path / "thermoe.json"
    file.write_text(json.dumps({"plan": {"price": 0.3}, "prefill_token_limit": 64}))
    core_hooks.install_core_hooks(lambda vllm_config: read_settings(file))
    engines = []

    def make(*, asynchronous):
        config = vllm_engine.configuration(tmp_path, async_scheduling=asynchronous)

        class Executor(UniProcExecutor):
            def _init_executor(self):
                self.driver_worker = vllm_engine.PlayedWorker(config)
                self.driver_worker.rank = Rank(vllm_engine.FACTS)
                vllm_engine.keep_facts(self.driver_worker, vllm_engine.FACTS)

        engine = LLMEngine(config, Executor, log_stats=False, multiprocess_mode=False)
        engines.append(engine)
        executor = engine.engine_core.engine_core.model_executor
        return types.SimpleNamespace(llm_engine=engine, collective_rpc=executor.collective_rpc)

    yield make
    vllm_engine.remove_core_hooks()
    for engine in engines:
        engine.engine_core.shutdown()


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_requests_of_a_turn_are_served_and_each_step_is_reported_with_its_experts(governed, asynchronous):
    from arrivals import Server
    from vllm.sampling_params import RequestOutputKind, SamplingParams
    from watch import Watch
    llm = governed(asynchronous=asynchronous)
    engine, params = llm.llm_engine, SamplingParams(ignore_eos=True, detokenize=False, max_tokens=9, output_kind=RequestOutputKind.DELTA)
    watch = Watch(llm, time.monotonic, sample_s=0.0)
    server = Server(engine, lambda key, name: engine.add_request(key, {"prompt_token_ids": [1, 2, 3, 4]}, params), time.monotonic,
                    time.sleep)
    requests = server.serve(1, [0.0, 0.0, 0.01], lambda i: f"1.{i}", time.monotonic() + 0.02)
    server.finish()
    assert [(request.finished, request.tokens) for request in requests] == [(True, 9)] * 3
    steps, (reports, samples) = server.take_steps(), watch.take()
    assert sum(step.tokens for step in steps) == 27
    decode = [report for report in reports if not report.mixed]
    assert len(decode) >= 8
    # A prompt that is priced is none to the rank, whose reports said so; it was one to the scheduler.
    assert any(report.mixed for report in reports) and max(report.tokens for report in decode) <= 3
    assert all(1 <= report.active_experts <= 8 * report.tokens for report in decode)
    assert samples == [] and watch.take() == ([], [])  # a plan that stays asks for none
