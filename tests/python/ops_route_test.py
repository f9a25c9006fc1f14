# SPDX-License-Identifier: Apache-2.0
"""thermoe::topk_route gives what a literal reading of kernels/topk_route.h gives."""
import itertools
import json
import os
import pathlib
import random
import subprocess

import pytest
import torch
from route_reference import Problem, route

from thermoe import ops

REFERENCE = pathlib.Path(os.environ["THERMOE_BINARY_DIR"]) / "tests" / "kernels" / "kernels_cpu_reference"
SCORES = ("softmax", "sigmoid", "sqrt_softplus")
DENOMINATORS = ("picked", "reference", "none")


def device_plan(problem, layers=3, layer=1):
    """A plan whose other layers must have no effect."""
    experts = problem.logits.shape[1]
    plan = ops.DevicePlan(layers, experts, experts)
    plan.selection_bias.fill_(0.7)
    plan.activation_price.fill_(9.0)
    plan.k[layer] = problem.k or problem.router.k
    plan.k_min[layer] = problem.k_min or problem.k or problem.router.k
    plan.selection_bias[layer] = torch.tensor(problem.bias or [0.0] * experts)
    plan.activation_price[layer] = torch.tensor(problem.price or [0.0] * experts)
    return plan


def arguments(problem):
    step = ops.StepState()
    step.set(11, valid=-1 if problem.valid is None else problem.valid, prefill=problem.prefill)
    return {"beta": torch.tensor(problem.beta) if problem.beta else None, "plan": device_plan(problem), "layer": 1,
            "step": step, "slots": max(problem.k or 0, problem.router.k)}


def expect_as_read(problem):
    picks, weights, kept, counts = route(problem)
    got = ops.topk_route(problem.logits, problem.router, **arguments(problem))
    slots = got.ids.shape[1]
    empty = len(problem.logits) - len(picks)
    assert got.ids.tolist() == [row + [-1] * (slots - len(row)) for row in picks] + [[-1] * slots] * empty
    padded = [row + [0.0] * (slots - len(row)) for row in weights] + [[0.0] * slots] * empty
    torch.testing.assert_close(got.weights, torch.tensor(padded), rtol=2e-5, atol=1e-6)
    torch.testing.assert_close(got.kept_mass, torch.tensor(kept + [1.0] * empty), rtol=2e-5, atol=1e-6)
    assert got.counts.tolist() == counts
    expect_masked_the_same(problem, picks, counts)


def expect_masked_the_same(problem, picks, counts):
    masked = ops.masked_logits(problem.logits, problem.router, **arguments(problem))
    assert masked.counts.tolist() == counts
    for t, row in enumerate(picks):
        for e, logit in enumerate(masked.logits[t].tolist()):
            if e in row:
                assert logit == problem.logits[t, e].float().item()
            else:
                assert logit == pytest.approx(ops.MASKED_LOGIT / (2 if counts[e] else 1))


def some_problem(seed, **router):
    draw = random.Random(seed)
    torch.manual_seed(seed)
    experts = draw.choice((8, 24, 64, 160))
    tokens = draw.choice((1, 5, 16, 33))
    k = draw.randint(1, 6)
    logits = torch.randn(tokens, experts) * 2
    return Problem(logits, ops.Router(k=k, **router)), draw


@pytest.mark.parametrize("score,denominator,has_beta",
                         [*itertools.product(SCORES, DENOMINATORS, (False, True))])
def test_routers_without_a_plan(score, denominator, has_beta):
    for seed in range(4):
        problem, draw = some_problem(seed, score=score, denominator=denominator, scale=draw_scale(seed))
        if has_beta:
            problem.beta = [draw.uniform(-0.2, 0.2) for _ in range(problem.logits.shape[1])]
        expect_as_read(problem)


def draw_scale(seed):
    return (1.0, 2.5)[seed % 2]


@pytest.mark.parametrize("score", SCORES)
def test_tokens_pick_inside_their_best_groups(score):
    for seed in range(6):
        problem, draw = some_problem(seed, score=score, groups=8, groups_kept=3 + seed % 3)
        size = problem.logits.shape[1] // 8
        problem.router = ops.Router(**{**vars(problem.router), "k": min(problem.router.k, 3 * size)})
        problem.beta = [draw.uniform(-0.1, 0.1) for _ in range(8 * size)]
        expect_as_read(problem)


@pytest.mark.parametrize("score,loss_scores", [*itertools.product(SCORES, ("unbiased", "biased"))])
def test_a_plan_biases_prices_and_drops(score, loss_scores):
    dropped = 0
    for seed in range(12):
        problem, draw = some_problem(100 + seed, score=score, loss_scores=loss_scores)
        experts = problem.logits.shape[1]
        problem.k = min(problem.router.k + seed % 2, experts)
        problem.k_min = 1
        problem.beta = [draw.uniform(-0.1, 0.1) for _ in range(experts)]
        problem.bias = [draw.uniform(0, 0.3) for _ in range(experts)]
        problem.price = [draw.choice((0.0, 0.05, 0.2, 0.6, float("inf"))) for _ in range(experts)]
        expect_as_read(problem)
        dropped += sum(len(row) < problem.k for row in route(problem)[0])
    assert dropped > 0


def test_padding_rows_are_no_part_of_the_batch():
    for seed, valid in enumerate((0, 1, 7, 12)):
        problem, draw = some_problem(300 + seed)
        problem.logits = torch.randn(12, 24) * 2
        problem.valid, problem.k_min = valid, 1
        problem.price = [draw.choice((0.0, 0.3)) for _ in range(24)]
        expect_as_read(problem)


def test_prices_have_no_effect_in_prefill():
    problem, _ = some_problem(7)
    problem.k_min, problem.price, problem.prefill = 1, [0.5] * problem.logits.shape[1], True
    expect_as_read(problem)


@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16, torch.float16))
def test_logits_of_every_type_are_widened(dtype):
    problem, _ = some_problem(8)
    problem.logits = problem.logits.to(dtype)
    expect_as_read(problem)


def test_an_empty_batch_has_empty_outputs():
    got = ops.topk_route(torch.empty(0, 8), ops.Router(k=2))
    assert got.ids.shape == (0, 2) and got.counts.tolist() == [0] * 8


def test_filled_slots_repeat_an_expert_that_runs_at_weight_0():
    torch.manual_seed(9)
    problem = Problem(torch.randn(2, 24), ops.Router(k=4), k_min=1, price=[float("inf")] * 24)
    given = arguments(problem)
    plain = ops.topk_route(problem.logits, problem.router, **given)
    filled = ops.topk_route(problem.logits, problem.router, fill_slots=True, **given)
    assert (plain.ids == -1).any()
    empty = plain.ids == -1
    assert torch.equal(filled.ids[empty], plain.ids[:, :1].expand_as(plain.ids)[empty])
    assert torch.equal(filled.weights, plain.weights) and torch.equal(filled.counts, plain.counts)


def test_an_update_changes_the_next_call_and_leaves_the_address():
    plan = ops.DevicePlan(1, 8, 2)
    other = ops.DevicePlan(1, 8, 1)
    logits = torch.randn(3, 8)
    address = plan.block.data_ptr()
    assert ops.topk_route(logits, ops.Router(k=2), plan=plan).counts.sum() == 6
    plan.update(bytes(other.block.tolist()))
    assert ops.topk_route(logits, ops.Router(k=2), plan=plan).counts.sum() == 3
    assert plan.block.data_ptr() == address


def test_a_share_of_the_tokens_takes_one_more():
    plan = ops.DevicePlan(1, 8, 2)
    plan.extra_k_share.fill_(0.25)
    got = ops.topk_route(torch.randn(8, 8), ops.Router(k=2), plan=plan, slots=3)
    assert (got.ids[:, 2] >= 0).sum() == 2


@pytest.mark.skipif(not REFERENCE.exists(), reason=f"{REFERENCE} is not built (target kernels_cpu_reference)")
@pytest.mark.parametrize("score,has_beta", [*itertools.product(SCORES, (False, True))])
def test_ids_and_weights_are_the_cpp_ops_bit_for_bit(score, has_beta):
    torch.manual_seed(10)
    logits, beta = torch.randn(33, 96) * 2, torch.rand(96) / 5 if has_beta else torch.empty(0)
    shape = {"op": "topk_route", "tokens": 33, "experts": 96, "k": 6, "slots": 6, "type": 0,
             "score": SCORES.index(score), "divide": True, "scale": 2.5, "has_beta": has_beta}
    # Tensors give their bytes without numpy.
    arrays = b"".join(bytes(t.view(torch.uint8).flatten().tolist()) for t in (logits, beta))
    wanted = subprocess.run([REFERENCE], input=json.dumps(shape).encode() + b"\n" + arrays, capture_output=True,
                            check=True, timeout=60).stdout
    got = ops.topk_route(logits, ops.Router(6, score=score, scale=2.5), beta=beta if has_beta else None)
    assert wanted == b"".join(bytes(t.view(torch.uint8).flatten().tolist()) for t in (got.ids, got.weights))
