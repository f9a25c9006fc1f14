# SPDX-License-Identifier: Apache-2.0
"""Both halves of the plug-in in vLLM's own engine core, scheduler, executor, worker and MoE layers: installed as an engine's
additional_config asks, the controller's prices reach the experts. Without a GPU: the model runner is played, and the GPU that
the controller believes in is simulated."""
import time
from types import SimpleNamespace

import pytest
import torch
import vllm_engine

core = vllm_engine.import_vllm()

import vllm_here  # noqa: E402
import vllm_worker  # noqa: E402
from thermoe.vllm import install  # noqa: E402
from thermoe.vllm.worker import rank_of  # noqa: E402
from vllm.v1.worker import gpu_worker  # noqa: E402

EXPERTS, K = 128, 8


class Worker(vllm_engine.StartedWorker, gpu_worker.Worker):
    pass


class Runner(vllm_worker.Runner):
    def logits(self, rows):
        generator = torch.Generator().manual_seed(self.steps)
        return 1.5 * torch.randn(rows, EXPERTS, generator=generator).to(self.dtype)


@pytest.fixture
def make(tmp_path, monkeypatch):
    """An engine; ends with the test."""
    install.install()
    monkeypatch.setattr(vllm_worker, "Runner", Runner)
    pipeline = type("Group", (), {"is_first_rank": True, "is_last_rank": True})()
    monkeypatch.setattr(gpu_worker, "get_pp_group", lambda: pipeline)
    engines = []

    def make(path, async_scheduling=False):
        vllm_here.engine_config()  # groups of one rank
        config = vllm_engine.configuration(tmp_path, async_scheduling=async_scheduling,
                                           additional_config={} if path is None else {"thermoe": path})
        worker = vllm_worker.make_worker(config, kind=Worker, asynchronous=async_scheduling,
                                         make=lambda: vllm_worker.Model(num_experts=EXPERTS, top_k=K))
        worker.load_model()
        engines.append(vllm_engine.make_engine(core, config, worker=worker))
        return engines[-1], worker

    yield make
    for engine in engines:
        engine.shutdown()


class Requests:
    """Eight at a time, again and again, until the test has seen what it waits for."""

    def __init__(self, engine):
        self.engine, self.number = engine, 0

    def until(self, done, seconds=90.0):
        deadline = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < deadline, "not in time"
            if not self.engine.scheduler.has_requests():
                vllm_engine.add(self.engine, *(vllm_engine.request(f"r{self.number + n}", tokens=100) for n in range(8)))
                self.number += 8
            self.engine.step_fn()


def distinct(worker):
    """Experts that a layer ran in the newest step: with weight, and any at all."""
    weights, ids = worker.model_runner.model.layers[0].routed_experts.seen
    return len(ids[weights > 0].unique()), len(ids.unique())


@pytest.mark.parametrize("async_scheduling", [False, True], ids=["sync", "async"])
def test_a_targets_prices_reach_the_experts_and_a_changed_file_takes_them_away(make, settings, async_scheduling):
    asked = {"objective": "throughput"}  # by prices alone: no step waits
    engine, worker = make(settings(power_w=250, **asked), async_scheduling)
    assert rank_of(worker).facts.experts == EXPERTS
    requests = Requests(engine)
    requests.until(lambda: rank_of(worker).buffers.plan.activation_price.any())
    before = rank_of(worker).version
    requests.until(lambda: distinct(worker)[1] < 45)  # of about 52 that 8 tokens' 8 picks are
    settings(power_w=2000, **asked)
    requests.until(lambda: not rank_of(worker).buffers.plan.activation_price.any() and rank_of(worker).version > before)


@pytest.mark.parametrize("async_scheduling", [False, True], ids=["sync", "async"])
def test_what_ranks_on_gpus_are_compared_by_records_every_step_and_its_plan(make, settings, source_dir, monkeypatch, async_scheduling):
    monkeypatch.syspath_prepend(str(source_dir / "tools/vllm_proof"))
    import same_steps
    engine, worker = make(settings(power_w=250, objective="throughput"), async_scheduling)
    requests = Requests(engine)
    requests.until(lambda: worker.model_runner.steps > 20)
    engine.model_executor.collective_rpc(same_steps.start)
    before, begun = rank_of(worker).version, worker.model_runner.steps
    requests.until(lambda: rank_of(worker).version >= before + 10)
    [recorded] = engine.model_executor.collective_rpc(same_steps.stop)
    steps = [same_steps.Step(*step) for step in recorded]
    assert len(steps) == worker.model_runner.steps - begun
    assert [step.number for step in steps] == list(range(steps[0].number, steps[0].number + len(steps)))
    assert steps[-1].version == rank_of(worker).version
    compared = same_steps.compare([steps, steps])
    assert compared["changes"] >= 9 and compared["different_plans"] > 1 and compared["steps_with_logits_compared"] > 1, compared


@pytest.mark.parametrize("async_scheduling", [False, True], ids=["sync", "async"])
def test_a_watch_tells_when_a_step_was_scheduled_launched_and_taken(make, settings, source_dir, monkeypatch, async_scheduling):
    monkeypatch.syspath_prepend(str(source_dir / "tools/vllm_proof"))
    from watch import Watch
    engine, worker = make(settings(config={}, plan={"price": 0.5}), async_scheduling)
    llm = SimpleNamespace(collective_rpc=engine.model_executor.collective_rpc,
                          llm_engine=SimpleNamespace(engine_core=SimpleNamespace(engine_core=engine)))
    watch = Watch(llm, time.monotonic, times_steps=True)
    Requests(engine).until(lambda: worker.model_runner.steps > 20)
    reports = [report for report in watch.take()[0] if report.number <= 18]  # the newest's tokens are not taken yet
    assert [report.number for report in reports] == list(range(1, len(reports) + 1)) and len(reports) == 18
    assert all(one.scheduled < one.launched < one.taken for one in reports)
    assert all(one.taken < other.taken for one, other in zip(reports, reports[1:]))


def test_a_plan_that_stays_prices_without_a_controller(make, settings):
    engine, worker = make(settings(config={}, plan={"price": 0.5}))
    Requests(engine).until(lambda: rank_of(worker).version == 1 and distinct(worker)[1] < 30)


def test_an_engine_of_which_nothing_is_asked_is_vllms_own(make):
    engine, worker = make(None)
    assert rank_of(worker) is None
    steps = Requests(engine)
    steps.until(lambda: worker.model_runner.steps > 20)
    assert "schedule" not in vars(engine.scheduler) and distinct(worker)[0] == distinct(worker)[1]
