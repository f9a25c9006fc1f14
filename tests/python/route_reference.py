# SPDX-License-Identifier: Apache-2.0
"""A literal reading of kernels/topk_route.h in float64: loops, no vectors."""
import math
from dataclasses import dataclass, field

import torch


@dataclass
class Problem:
    logits: torch.Tensor
    router: object                     # thermoe.ops.Router
    beta: list = field(default_factory=list)
    bias: list = field(default_factory=list)
    price: list = field(default_factory=list)
    k: int | None = None               # the plan's
    k_min: int | None = None
    valid: int | None = None
    prefill: bool = False


def scores(row, score):
    if score == "softmax":
        largest = max(row)
        e = [math.exp(x - largest) for x in row]
        return [x / sum(e) for x in e]
    if score == "sigmoid":
        return [1 / (1 + math.exp(-x)) for x in row]
    return [math.sqrt(math.log1p(math.exp(x))) for x in row]


def best(values, allowed, count):
    """Largest first, ties to the lowest id."""
    return sorted(allowed, key=lambda e: (-values[e], e))[:count]


def own_experts(by, router):
    """Those in the token's best groups."""
    size = len(by) // router.groups
    runs = [list(range(g * size, (g + 1) * size)) for g in range(router.groups)]
    if router.groups_kept == router.groups:
        return list(range(len(by)))
    total = [sum(sorted((by[e] for e in run), reverse=True)[:2]) for run in runs]
    return [e for g in best(total, range(router.groups), router.groups_kept) for e in runs[g]]


def route(problem):
    """(picks by token, weights by token, kept mass by token, counts)."""
    router = problem.router
    tokens, experts = problem.logits.shape
    valid = tokens if problem.valid is None else problem.valid
    beta = problem.beta or [0.0] * experts
    bias = problem.bias or [0.0] * experts
    price = problem.price or [0.0] * experts
    k = problem.k or router.k
    k_min = problem.k_min or k
    p, s, select, picks, own = [], [], [], [], []
    for row in problem.logits[:valid].double().tolist():
        p.append(scores(row, router.score))
        by = [x + y for x, y in zip(p[-1], beta)]
        own.append(own_experts(by, router))
        s.append(sum(p[-1][e] for e in best(by, own[-1], router.k)))
        select.append([x - y * s[-1] for x, y in zip(by, bias)])
        picks.append(best(select[-1], own[-1], k))
    active = set().union(*picks) if picks else set()
    if k_min < k and any(price) and not problem.prefill:
        active = active_experts(problem, p, s, beta, select, picks, own, k_min, price)
        picks = [best(select[t], [e for e in own[t] if e in active], k) for t in range(valid)]
    weights, kept = [], []
    for t in range(valid):
        over = {"picked": sum(p[t][e] for e in picks[t]), "reference": s[t], "none": 1.0}[router.denominator]
        weights.append([router.scale * p[t][e] / over for e in picks[t]])
        kept.append(min(1.0, sum(p[t][e] for e in picks[t]) / s[t]))
    counts = [sum(e in row for row in picks) for e in range(experts)]
    return picks, weights, kept, counts


def active_experts(problem, p, s, beta, select, picks, own, k_min, price):
    union = set().union(*picks)
    loss = [0.0] * len(price)
    for t, row in enumerate(picks):
        v = [x / s[t] for x in p[t]]
        if problem.router.loss_scores == "biased":
            v = [(x + y) / s[t] for x, y in zip(p[t], beta)]
        others = best(select[t], [e for e in own[t] if e in union and e not in row], 1)
        for e in row:
            loss[e] += max(0.0, v[e] - (v[others[0]] if others else 0.0))
    kept = set().union(*(row[:k_min] for row in picks))
    return kept | {e for e in union if loss[e] >= price[e]}
