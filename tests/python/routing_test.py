# SPDX-License-Identifier: Apache-2.0
"""thermoe.routing against the rule as design and theory write it, a token and an expert at a time, in float64."""
import math
import random

import pytest
import torch

import thermoe
from thermoe.plan_block import DevicePlan, StepState
from thermoe.routing import RouterSpec, route

INF = math.inf


def share_says_more(share, layer, step, token, tokens):
    turn = (token + step + layer) % tokens
    i = step * tokens + turn
    return math.floor((i + 1) * share) > math.floor(i * share)


def best(score, allowed, count):
    return sorted(allowed, key=lambda e: (-score[e], e))[:count]


def by_the_book(logits, spec, row, bias, price, beta, priced, layer, step):
    """[(picks, weights, kept mass)] a token: docs/theory.md, R1 to R5 and the three steps of activation pricing."""
    experts, tokens = range(spec.experts), range(len(logits))
    picks, own, p, key, mass = [], [], [], [], []
    for z in logits:
        if spec.score == "softmax":
            top = max(z)
            e = [math.exp(x - top) for x in z]
            p.append([x / sum(e) for x in e])
        elif spec.score == "sigmoid":
            p.append([1 / (1 + math.exp(-x)) for x in z])
        else:
            p.append([math.sqrt(math.log1p(math.exp(x))) for x in z])
        score = [a + b for a, b in zip(p[-1], beta)] if beta else list(z)
        size = spec.experts // spec.groups
        by_group = [a + b for a, b in zip(p[-1], beta or [0.0] * spec.experts)]
        rank = [sum(sorted(by_group[g * size:(g + 1) * size])[-2:]) for g in range(spec.groups)]
        kept = best(rank, range(spec.groups), spec.groups_kept)
        own.append([e for e in experts if e // size in kept])
        baseline = best(score, own[-1], spec.k)
        mass.append(sum(p[-1][e] for e in baseline))
        if any(bias):
            score = [a + (b if beta else 0.0) - c * mass[-1]
                     for a, b, c in zip(p[-1], beta or [0.0] * spec.experts, bias)]
        key.append(score)

    def count(whole, share, t):
        return whole + share_says_more(share, layer, step, t, len(logits))

    picks = [best(key[t], own[t], min(spec.k, count(row.k, row.extra_k_share, t))) for t in tokens]
    if priced:
        v = [[(p[t][e] + (beta[e] if beta and spec.loss_scores == "biased" else 0.0)) / mass[t] for e in experts] for t in tokens]
        union = {e for chosen in picks for e in chosen}
        active = {e for t in tokens for e in picks[t][:count(row.k_min, row.extra_k_min_share, t)]}
        for e in union:
            loss = 0.0
            for t in tokens:
                if e in picks[t]:
                    following = best(key[t], [o for o in own[t] if o in union and o not in picks[t]], 1)
                    loss += max(0.0, v[t][e] - (v[t][following[0]] if following else 0.0))
            if loss >= price[e]:
                active.add(e)
        picks = [best(key[t], [e for e in own[t] if e in active], len(picks[t])) for t in tokens]
    result = []
    for t in tokens:
        ran = sum(p[t][e] for e in picks[t])
        whole = {"picked": ran, "reference": mass[t], "none": 1.0}[spec.denominator]
        result.append((picks[t], [spec.scale * p[t][e] / whole for e in picks[t]], min(1.0, ran / mass[t])))
    return result


def device_plan(rows, bias, price):
    plan = DevicePlan(len(rows), len(bias[0]), 1)
    plan.update(thermoe.RoutingPlan(rows, bias, price).to_bytes())
    return plan


def state(number=0, prefill=False):
    state = StepState()
    state.set(number, prefill=prefill)
    return state


def routes():
    """The twin in PyTorch, and the compiled op where the package has been built."""
    yield pytest.param(route, id="torch")
    try:
        from thermoe.hf.attachment import route_by_op
        from thermoe import ops  # noqa: F401
        yield pytest.param(route_by_op, id="op")
    except ImportError as error:
        yield pytest.param(None, id="op", marks=pytest.mark.skip(reason=str(error)))


def problem(seed):
    """A random router, plan and batch."""
    r = random.Random(seed)
    groups = r.choice([1, 1, 4])
    k = r.randint(1, 4)
    spec = RouterSpec(experts=16, k=k, score=r.choice(["softmax", "sigmoid", "sqrt_softplus"]), groups=groups,
                      groups_kept=r.randint(2, groups) if groups > 1 else 1,
                      denominator=r.choice(["picked", "reference", "none"]), scale=r.choice([1.0, 2.5]),
                      loss_scores=r.choice(["unbiased", "biased"]))
    plan_k = r.randint(1, k)
    rows = [thermoe.LayerRow(plan_k, r.randint(1, plan_k), r.choice([0.0, 0.25, 0.75]) if plan_k < k else 0.0,
                             r.choice([0.0, 0.5]))] * 3
    bias = [[r.choice([0.0, r.gauss(0, 0.2)]) for _ in range(16)] if seed % 3 == 0 else [0.0] * 16 for _ in rows]
    price = [[r.choice([0.0, 0.2, 0.5, r.random(), INF]) for _ in range(16)] for _ in rows]
    beta = [r.gauss(0, 0.1) for _ in range(16)] if r.random() < 0.5 else None
    logits = [[r.gauss(0, 1.5) for _ in range(16)] for _ in range(r.randint(1, 8))]
    return r, spec, rows, bias, price, beta, logits


@pytest.mark.parametrize("route", list(routes()))
@pytest.mark.parametrize("seed", range(80))
def test_picks_weights_and_kept_mass_are_the_theorys(seed, route):
    r, spec, rows, bias, price, beta, logits = problem(seed)
    layer, step, priced = r.randint(0, 2), r.randint(0, 9), r.random() < 0.8
    want = by_the_book(logits, spec, rows[layer], bias[layer], price[layer], beta, priced, layer, step)
    got = route(torch.tensor(logits), spec, plan=device_plan(rows, bias, price), layer=layer,
                step=state(step, prefill=not priced), beta=None if beta is None else torch.tensor(beta))
    for t, (picks, weights, kept) in enumerate(want):
        assert got.ids[t, :len(picks)].tolist() == picks
        assert got.weights[t, :len(picks)].tolist() == pytest.approx(weights, rel=1e-4, abs=1e-6)
        assert got.kept_mass[t].item() == pytest.approx(kept, rel=1e-4, abs=1e-6)
        assert got.weights[t, len(picks):].tolist() == [0.0] * (spec.k - len(picks))
        assert set(got.ids[t, len(picks):].tolist()) <= {picks[0]}
    assert got.counts.tolist() == [sum(e in picks for picks, _, _ in want) for e in range(16)]


@pytest.mark.parametrize("route", list(routes()))
def test_ties_go_to_the_lowest_id(route):
    plan = device_plan([thermoe.LayerRow(3, 3)], [[0.0] * 8], [[0.0] * 8])
    got = route(torch.zeros(2, 8), RouterSpec(experts=8, k=3), plan=plan, layer=0, step=state(), beta=None)
    assert got.ids.tolist() == [[0, 1, 2]] * 2


def test_bf16_logits_route_as_the_same_numbers_in_f32():
    logits = torch.randn(5, 8, generator=torch.Generator().manual_seed(2)).bfloat16()
    plan = device_plan([thermoe.LayerRow(3, 1)], [[0.0] * 8], [[0.3] * 8])
    spec = RouterSpec(experts=8, k=3)
    for a, b in zip(route(logits, spec, plan=plan, layer=0, step=state()),
                    route(logits.float(), spec, plan=plan, layer=0, step=state()), strict=True):
        assert torch.equal(a, b)
