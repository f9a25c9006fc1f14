# SPDX-License-Identifier: Apache-2.0
"""thermoe.routing, the rule in plain PyTorch, against the compiled op, which is held to the theory (ops_route_test.py)."""
import math
import random

import pytest
import torch

import thermoe
from thermoe import ops
from thermoe.hf.attachment import best_route, route_by_op
from thermoe.plan_block import DevicePlan, StepState
from thermoe.routing import Router, route

LAYERS, EXPERTS = 3, 16


def device_plan(rows, bias, price):
    plan = DevicePlan(len(rows), len(bias[0]), 1)
    plan.update(thermoe.RoutingPlan(rows, bias, price).to_bytes())
    return plan


def problem(seed):
    """A random router, plan and batch: what `route` takes."""
    r = random.Random(seed)
    groups = r.choice([1, 1, 4])
    k = r.randint(1, 4)
    router = Router(k=k, score=r.choice(["softmax", "sigmoid", "sqrt_softplus"]), groups=groups,
                    groups_kept=r.randint(2, groups) if groups > 1 else 1,
                    denominator=r.choice(["picked", "reference", "none"]), scale=r.choice([1.0, 2.5]),
                    loss_scores=r.choice(["unbiased", "biased"]))
    plan_k = r.randint(1, k)
    rows = [thermoe.LayerRow(plan_k, r.randint(1, plan_k), r.choice([0.0, 0.25, 0.75]) if plan_k < k else 0.0,
                             r.choice([0.0, 0.5]))] * LAYERS
    bias = [[r.choice([0.0, r.gauss(0, 0.2)]) if seed % 3 == 0 else 0.0 for _ in range(EXPERTS)] for _ in rows]
    price = [[r.choice([0.0, 0.2, 0.5, r.random(), math.inf]) for _ in range(EXPERTS)] for _ in rows]
    step = StepState()
    step.set(r.randint(0, 9), prefill=r.random() < 0.2)
    logits = torch.tensor([[r.gauss(0, 1.5) for _ in range(EXPERTS)] for _ in range(r.randint(1, 8))])
    return dict(logits=logits.to(r.choice([torch.float32, torch.float32, torch.bfloat16])), router=router,
                plan=device_plan(rows, bias, price), layer=r.randint(0, LAYERS - 1), step=step,
                beta=torch.tensor([r.gauss(0, 0.1) for _ in range(EXPERTS)]) if r.random() < 0.5 else None)


@pytest.mark.parametrize("seed", range(150))
def test_picks_weights_counts_and_kept_mass_are_the_ops(seed):
    given = problem(seed)
    for name, ours, ops in zip(("weights", "ids", "counts", "kept_mass"), route(**given), route_by_op(**given), strict=True):
        torch.testing.assert_close(ours, ops, check_dtype=False, rtol=1e-5, atol=1e-6, msg=lambda m: f"{name}: {m}")


def test_ties_go_to_the_lowest_id():
    plan = device_plan([thermoe.LayerRow(3, 3)], [[0.0] * 8], [[0.0] * 8])
    got = route(torch.zeros(2, 8), Router(k=3), plan=plan, layer=0, step=StepState())
    assert got.ids.tolist() == [[0, 1, 2]] * 2


def test_a_device_that_the_ops_were_not_built_for_routes_in_pytorch(monkeypatch):
    assert best_route({"cpu"}) is route_by_op
    monkeypatch.setattr(ops, "built_with_cuda", False)
    assert best_route({"cpu", "cuda"}) is route
    monkeypatch.setattr(ops, "built_with_cuda", True)
    assert best_route({"cuda"}) is route_by_op
    assert best_route({"xpu"}) is route
