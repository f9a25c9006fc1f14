# SPDX-License-Identifier: Apache-2.0
"""A rank's steps on a GPU, without vLLM: layers in a captured graph, routed by each step's order, and never waited for."""
import numpy as np
import pytest
import torch

from thermoe import ops
from thermoe.engine.rank import Rank
from thermoe.engine.step_buffers import StepBuffers
from thermoe.engine.steps import ModelFacts, StepOrder
from thermoe.plan import RoutingPlan
from thermoe.plan_block import DevicePlan, StepState
from thermoe.routing import Router

pytestmark = pytest.mark.skipif(not (torch.cuda.is_available() and ops.built_with_cuda),
                                reason="needs a CUDA device and the ops built with CUDA")

LAYERS, EXPERTS, K, ROWS = 4, 128, 8, 16
ROUTER = Router(K, denominator="reference")
FACTS = ModelFacts(name="Model", layers=LAYERS, experts=EXPERTS, router=ROUTER, selection_bias=None, d_model=64, d_ff=32,
                   gated=True, most_rows=ROWS, gpu=None)


class Captured:
    """Layers that route static logits, in one graph."""

    def __init__(self, rank):
        self.rank = rank
        self.logits = torch.zeros(LAYERS, ROWS, EXPERTS, dtype=torch.bfloat16, device="cuda")
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self.route()
        torch.cuda.current_stream().wait_stream(stream)
        self.graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self.graph):
            self.routes = self.route()

    @torch.inference_mode()  # as vLLM's worker runs its model
    def route(self):
        buffers = self.rank.buffers
        return [ops.topk_route_into(self.logits[layer], ROUTER, plan=buffers.plan, layer=layer, step=buffers.step,
                                    counts=buffers.counts[layer], samples=buffers.samples_of(layer, self.logits[layer]),
                                    slot=buffers.slot) for layer in range(LAYERS)]


@pytest.fixture
def captured():
    rank = Rank(FACTS, StepBuffers(LAYERS, EXPERTS, K, ROWS, torch.device("cuda", torch.cuda.current_device())), [ROWS])
    return Captured(rank)


def counts_on_the_cpu(logits, plan, order):
    """By the op's CPU backend."""
    device_plan, step = DevicePlan(LAYERS, EXPERTS, K), StepState()
    device_plan.update(plan)
    step.set(order.number, order.valid_tokens, order.prefill)
    return np.stack([ops.topk_route(logits[layer], ROUTER, plan=device_plan, layer=layer, step=step).counts.numpy()
                     for layer in range(LAYERS)])


def test_replays_run_under_each_steps_order_and_report_it_and_nothing_waits(captured):
    rank, generator = captured.rank, torch.Generator().manual_seed(1)
    plans = {version: RoutingPlan.priced(LAYERS, EXPERTS, K, price=price).to_bytes()
             for version, price in enumerate((0.0, 0.3, 1.0, 0.1), start=1)}
    orders, steps, reports, sent = {}, {}, [], None
    for number in range(1, 61):
        version = 1 + (number // 6) % len(plans)
        order = StepOrder(number=number, version=version, block=plans[version] if version != sent else None,
                          valid_tokens=1 + number % ROWS, prefill=number % 7 == 0, sample=number % 2 == 0)
        logits, sent = torch.randn(LAYERS, ROWS, EXPERTS, generator=generator).bfloat16(), version
        orders[number], steps[number] = order, logits
        pinned = logits.pin_memory()
        torch.cuda.set_sync_debug_mode("error")
        try:
            captured.logits.copy_(pinned, non_blocking=True)
            rank.begin(order, order.valid_tokens)
            captured.graph.replay()
            rank.end()
            reports += rank.take_reports()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    torch.cuda.synchronize()
    reports += rank.take_reports()
    assert [report.number for report in reports] == list(range(1, 61))
    for report in reports:
        order = orders[report.number]
        assert (report.version, report.tokens, report.rows, report.mixed) == (
            order.version, order.valid_tokens, ROWS, order.prefill)
        assert report.step_time_s > 0
        expected = counts_on_the_cpu(steps[report.number], plans[order.version], order)
        assert np.array_equal(report.counts, expected), report.number
        if report.logits is not None:
            assert order.sample
            given = steps[report.number][:, :order.valid_tokens].contiguous().view(torch.uint16).numpy()
            assert report.logits.dtype == "bfloat16" and np.array_equal(report.logits.values, given)
    assert sum(report.logits is not None for report in reports) >= 2


def test_padding_rows_name_an_expert_that_runs_at_no_weight(captured):
    captured.logits.copy_(torch.randn(LAYERS, ROWS, EXPERTS, generator=torch.Generator().manual_seed(2)))
    plan = RoutingPlan.priced(LAYERS, EXPERTS, K, price=0.5).to_bytes()
    captured.rank.begin(StepOrder(number=1, version=1, block=plan, valid_tokens=5, prefill=False, sample=False), 5)
    captured.graph.replay()
    captured.rank.end()
    for layer, (weights, ids) in enumerate(captured.routes):
        runs = set(captured.rank.buffers.counts[layer].nonzero().flatten().tolist())
        assert not weights[5:].any() and set(ids.flatten().tolist()) == runs


def test_a_launch_that_the_device_waited_for_is_told_and_one_beside_another_step_is_not(captured):
    rank = captured.rank
    torch.cuda.synchronize()
    for number in (1, 2):
        rank.begin(StepOrder(number=number, version=0, block=None, valid_tokens=4, prefill=False, sample=False), 4)
        captured.graph.replay()
        torch.cuda._sleep(50_000_000)  # cycles: the first step runs while the second is launched
        rank.end()
    torch.cuda.synchronize()
    alone, beside = rank.take_reports()
    assert 0 < alone.launch_time_s < alone.step_time_s and beside.launch_time_s == 0
