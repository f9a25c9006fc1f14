# SPDX-License-Identifier: Apache-2.0
"""Two ranks on gloo under one governor that has a new plan ten times a second: all route alike in every step.

Orders are pickled through a queue of processes, as vLLM's executor sends scheduler outputs; the ranks are the plug-in's own
(rank.py), their routing thermoe.routing's. As in vLLM, nobody takes the second rank's reports: tools/vllm_proof/same_steps.py, by
which ranks on GPUs are compared, sees its steps all the same. Needs no vLLM.
"""
import dataclasses
import os
import pathlib
import pickle
import queue
import sys
import threading
import time
import traceback
from types import SimpleNamespace

import pytest
import torch
import vllm_engine

sys.path.append(str(pathlib.Path(os.environ["THERMOE_SOURCE_DIR"]) / "tools/vllm_proof"))
import same_steps  # noqa: E402

from thermoe.control import Decision
from thermoe.engine.control_source import ControlSource, LiveController
from thermoe.engine.step_buffers import StepBuffers
from thermoe.engine.steps import StepOrder
from thermoe.plan import RoutingPlan
from thermoe.routing import route
from thermoe.vllm.core import Governor, Requests
from thermoe.vllm.messages import order_of
from thermoe.vllm.rank import Rank

FACTS = dataclasses.replace(vllm_engine.FACTS, experts=32)
TOKENS = 8
SECONDS = 3.0


class ChangingPlans:
    """A controller with a thread of its own, that decides ten times a second: another price each time."""

    def __init__(self):
        self._decided = self._decision(1)
        self.told = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._decide)
        self._thread.start()

    def _decision(self, version):
        plan = RoutingPlan.priced(FACTS.layers, FACTS.experts, FACTS.router.k, price=0.1 + 0.05 * (version % 17))
        return Decision(version=version, plan=memoryview(plan.to_bytes()), active=None, step_period_s=0.0, valid_for_s=None,
                        safe=False, sample_wanted=version % 3 == 0, calibrating=False)

    def _decide(self):
        version = 1
        while not self._stop.wait(0.1):
            version += 1
            self._decided = self._decision(version)

    def acquire(self):
        return self._decided

    def observe(self, **step):
        self.told.append(step)

    def close(self):
        self._stop.set()
        self._thread.join()


def run_rank(index, store, orders, results, lags):
    """A process. `lags`: it loses each third plan that it is sent."""
    try:
        torch.set_num_threads(1)
        torch.distributed.init_process_group("gloo", init_method=f"file://{store}", rank=index, world_size=2)
        torch.distributed.barrier()
        results.put((index, None))
        worker = SimpleNamespace(thermoe_rank=make_rank())
        same_steps.start(worker)
        serve(worker.thermoe_rank, orders, results, index, lags)
        results.put((index, same_steps.stop(worker)))
    except BaseException:
        results.put((index, traceback.format_exc()))


def make_rank():
    return Rank(FACTS, StepBuffers(FACTS.layers, FACTS.experts, FACTS.router.k, TOKENS, torch.device("cpu")), [])


def serve(rank, orders, results, index, lags):
    blocks = 0
    while (sent := orders.get()) is not None:
        order = order_of(pickle.loads(sent))
        if order.block is not None:
            blocks += 1
            if lags and blocks % 3 == 0:
                order = dataclasses.replace(order, block=None)
        rank.begin(order, order.valid_tokens)
        picked = route_all(rank, order)
        rank.end()
        everywhere = [torch.empty_like(picked) for _ in range(2)]
        torch.distributed.all_gather(everywhere, picked)
        if not torch.equal(everywhere[0], everywhere[1]):
            versions = [int(one[-1]) for one in everywhere]
            raise AssertionError(f"step {order.number}: the ranks route differently, under plans {versions}")
        if index == 0:  # the output rank
            results.put((index, rank._with_reports(SimpleNamespace())))


def route_all(rank, order):
    """Ids, weights and the version of the step: every rank has the same tokens' logits, as in tensor parallelism."""
    generator = torch.Generator().manual_seed(order.number)
    parts = []
    for layer in range(FACTS.layers):
        logits = 1.5 * torch.randn(order.valid_tokens, FACTS.experts, generator=generator)
        routing = route(logits, FACTS.router, plan=rank.buffers.plan, layer=layer, step=rank.buffers.step)
        rank.buffers.counts[layer].copy_(routing.counts)
        rank.buffers.samples_of(layer, logits)[max(0, int(rank.buffers.slot)), :order.valid_tokens] = logits
        parts += [routing.ids.double().flatten(), routing.weights.double().flatten()]
    return torch.cat([*parts, torch.tensor([float(rank.version)], dtype=torch.float64)])


def run_two(tmp_path, lags, seconds=SECONDS):
    """Serves decode steps of two ranks until the time is over, or one ends: orders, what ranks say last, the controller."""
    context = torch.multiprocessing.get_context("spawn")
    inputs, results = [context.Queue() for _ in range(2)], context.Queue()
    ranks = [context.Process(target=run_rank, args=(n, str(tmp_path / "store"), inputs[n], results, lags and n == lags - 1),
                             daemon=True) for n in range(2)]
    for process in ranks:
        process.start()
    for _ in ranks:
        assert results.get(timeout=120)[1] is None  # it is there
    controller = ChangingPlans()
    source = ControlSource(LiveController(controller, SimpleNamespace(prefill_token_limit=0), b""))
    governor = Governor(FACTS, source, batch_limit=TOKENS, paces=False)
    given, ends, requests = [], {}, Requests(TOKENS, 0)
    began = time.monotonic()
    while time.monotonic() - began < seconds or len(given) < 50:
        output = SimpleNamespace(total_num_scheduled_tokens=TOKENS, num_scheduled_tokens=dict.fromkeys("abcdefgh", 1),
                                 finished_req_ids=set())
        governor.schedule(output, governor.clock(), requests)
        given.append(order_of(output))
        sent = pickle.dumps(output, protocol=5)
        for one in inputs:
            one.put(sent)
        index, said = results.get(timeout=60)
        if isinstance(said, (list, str)):
            ends[index] = said
            break
        governor.update(given[-1], said, requests, idle=False)
    for one in inputs:
        one.put(None)
    try:
        while len(ends) < 2:
            index, said = results.get(timeout=30)
            if isinstance(said, (list, str)):
                ends[index] = said
    except queue.Empty:
        pass
    for process in ranks:
        process.join(10)
        process.kill()
    source.close()
    return given, ends, controller


def steps_of(said):
    assert isinstance(said, list), said
    return [same_steps.Step(*step) for step in said]


def test_two_ranks_route_alike_in_every_step_while_plans_change_ten_times_a_second(tmp_path):
    given, ends, controller = run_two(tmp_path, lags=0)
    ranks = [steps_of(ends[rank]) for rank in range(2)]
    assert all([step.number for step in steps] == [order.number for order in given] for steps in ranks)
    compared = same_steps.compare(ranks)
    assert same_steps.alike(compared) and compared["steps_of_one_rank_only"] == 0, compared
    assert compared["steps_compared"] == len(given) and compared["different_plans"] == 17
    assert compared["changes"] == compared["versions"] - 1
    assert compared["steps_with_logits_compared"] > 5
    versions = [order.version for order in given]
    assert versions == sorted(versions) and len(set(versions)) >= 20
    assert sum(order.block is not None for order in given) == len(set(versions))
    active = {(step["counts"] > 0).sum() for step in controller.told}
    assert len(controller.told) == len(given) and len(active) > 5  # plans differ in what they activate
    assert any(step["logits"] is not None for step in controller.told)


def test_a_rank_that_runs_another_version_is_found(tmp_path):
    """The comparison above sees it."""
    given, ends, _ = run_two(tmp_path, lags=2)
    assert any(isinstance(end, str) and "the ranks route differently, under plans [" in end for end in ends.values()), ends


def routed(worker, order):
    rank = worker.thermoe_rank
    rank.begin(order, order.valid_tokens)
    route_all(rank, order)
    rank.end()


@pytest.mark.parametrize("taken", [False, True], ids=["nobody takes reports", "reports are taken"])
def test_a_recording_holds_each_step_once_and_finds_a_rank_that_lost_a_plan(taken):
    workers = [SimpleNamespace(thermoe_rank=make_rank()) for _ in range(2)]
    for worker in workers:
        routed(worker, StepOrder(number=1, version=0, block=None, valid_tokens=TOKENS, prefill=False, sample=False))
        if taken:
            worker.thermoe_rank.take_reports()
        same_steps.start(worker)  # the rank may still hold the step before
    reported = 0
    for number in range(2, 42):
        block = RoutingPlan.priced(FACTS.layers, FACTS.experts, FACTS.router.k, price=0.01 * number).to_bytes()
        order = StepOrder(number=number, version=number // 10, block=block if number % 10 == 0 else None, valid_tokens=TOKENS,
                          prefill=False, sample=number % 2 == 0)
        for worker in workers:
            routed(worker, dataclasses.replace(order, block=None) if number == 20 and worker is workers[1] else order)
            if taken:
                reported += len(worker.thermoe_rank.take_reports())
    ranks = [[same_steps.Step(*step) for step in same_steps.stop(worker)] for worker in workers]
    assert [[step.number for step in steps] for steps in ranks] == [list(range(2, 42))] * 2
    reported += sum(len(worker.thermoe_rank.take_reports()) for worker in workers)
    assert reported == (80 if taken else 32)  # a recording takes none, and lets none go
    assert not any({"begin", "_release"} & set(vars(worker.thermoe_rank)) for worker in workers)
    compared = same_steps.compare(ranks)
    assert not same_steps.alike(compared)
    assert (compared["steps_compared"], compared["steps_that_differ"], compared["versions"]) == (40, 10, 5)
    assert compared["first_that_differ"][0] == {"number": 20, "in": ["version", "plan", "counts"]}
