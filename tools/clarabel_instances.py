#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Random instances of the routing problem (P) with the optimum that Clarabel finds: what tests/control holds the solver to.

    tools/clarabel_instances.py > tests/control/clarabel_instances.json

Needs Clarabel, an interior point solver of cone programs: pip install clarabel scipy.
"""

import importlib.metadata
import importlib.util
import json
import random
import sys

SCORES_PER_UNIT = 1024  # scores are whole numbers of 1/1024: the same in float32 and in text


def missing():
    """What Clarabel needs and how to get it, or nothing."""
    lacks = [m for m in ("clarabel", "scipy") if importlib.util.find_spec(m) is None]
    return f"{' and '.join(lacks)} not installed: pip install clarabel scipy" if lacks else ""


def convex_curve(source, level, tokens, segments):
    """Corners, costs there and slopes from there on, of a convex cost of one expert's load."""
    corner, value, slope = [0.0], [0.0], [round(level * source.uniform(0.2, 1.0), 3)]
    for _ in range(segments - 1):
        width = round(source.uniform(0.05, 0.3) * tokens, 2)
        value.append(value[-1] + slope[-1] * width)
        corner.append(corner[-1] + width)
        slope.append(round(slope[-1] * source.uniform(1.1, 2.0), 3))
    return {"corner": corner, "value": value, "slope": slope}


def random_resource(source, shape, segments, devices):
    cells = shape["layers"] * shape["experts"]
    resource = {
        "constant": 3.0,
        "price_ceiling": 5.0,
        "curves": [convex_curve(source, 1.0 + v, shape["tokens"], segments) for v in range(4)],
        "curve_of": [source.randrange(4) for _ in range(cells)],
        "device_of": [],
    }
    if devices > 1:
        resource["device_of"] = [e * devices // shape["experts"] for e in range(shape["experts"])]
    return resource


def use_of(instance, resource, load):
    """C_r at loads [layers, experts]."""
    total, experts = resource["constant"], instance["experts"]
    for layer in range(instance["layers"]):
        device = [0.0] * (max(resource["device_of"], default=0) + 1)
        for e in range(experts):
            cell = layer * experts + e
            c = resource["curves"][resource["curve_of"][cell]]
            lines = zip(c["corner"], c["value"], c["slope"])
            # Convex: the largest of its segments' lines.
            cost = max(v + s * (load[cell] - x) for x, v, s in lines)
            device[resource["device_of"][e] if resource["device_of"] else 0] += cost
        total += max(device)
    return total


def plain_loads(instance):
    experts, load = instance["experts"], []
    for layer in range(instance["layers"]):
        counts = [0.0] * experts
        for t in range(instance["tokens"]):
            at = (layer * instance["tokens"] + t) * experts
            row = instance["scores"][at : at + experts]
            for e in sorted(range(experts), key=lambda e: -row[e])[: instance["k"]]:
                counts[e] += 1.0
        load += counts
    return load


def random_instance(seed, *, layers=1, resources=1, segments=1, devices=1, share=0.85):
    """`share`: of what plain top-k costs beyond the constant, which the caps allow."""
    source = random.Random(seed)
    shape = {"layers": layers, "tokens": 12, "experts": 8, "k": 2 + seed % 2, "tau": (0.02, 0.05, 0.1)[seed % 3]}
    popularity = [source.gauss(0, 0.1) for _ in range(layers * shape["experts"])]
    scores = [
        round(SCORES_PER_UNIT * (popularity[layer * shape["experts"] + e] + source.gauss(0, 0.1)))
        for layer in range(layers)
        for _ in range(shape["tokens"])
        for e in range(shape["experts"])
    ]
    instance = dict(shape, scores=scores)
    instance["resources"] = [random_resource(source, shape, segments, devices) for _ in range(resources)]
    plain = plain_loads(instance)
    for resource in instance["resources"]:
        plain_use = use_of(instance, resource, plain)
        resource["cap"] = round(resource["constant"] + share * (plain_use - resource["constant"]), 3)
    return instance


class ConeRows:
    """Rows of s = right - A z, cone after cone."""

    def __init__(self):
        self.rows, self.columns, self.entries, self.right, self.cones = [], [], [], [], []

    def add(self, entries, right):
        for column, value in entries:
            self.rows.append(len(self.right))
            self.columns.append(column)
            self.entries.append(value)
        self.right.append(right)


def solve(instance):
    """The optimal value of (P), and its loads [layers, experts]."""
    import clarabel
    import numpy
    from scipy import sparse

    layers, tokens, experts = instance["layers"], instance["tokens"], instance["experts"]
    n = layers * tokens * experts
    cells = layers * experts
    cost = [-v / SCORES_PER_UNIT for v in instance["scores"]] + [instance["tau"]] * (2 * n)

    def variable(price):
        cost.append(price)
        return len(cost) - 1

    # z = x [n], p >= x log x [n], q >= (1 - x) log(1 - x) [n], then the costs.
    cone, below = ConeRows(), ConeRows()
    for row in range(layers * tokens):
        cone.add([(row * experts + e, 1.0) for e in range(experts)], float(instance["k"]))
    cone.cones.append(clarabel.ZeroConeT(layers * tokens))
    load = [[((c // experts * tokens + t) * experts + c % experts) for t in range(tokens)] for c in range(cells)]
    for resource in instance["resources"]:
        excess = variable(resource["price_ceiling"])
        below.add([(excess, -1.0)], 0.0)
        slowest = [variable(0.0) for _ in range(layers)]
        below.add([(z, 1.0) for z in slowest] + [(excess, -1.0)], resource["cap"] - resource["constant"])
        costs = [variable(0.0) for _ in range(cells)]
        for cell in range(cells):
            c = resource["curves"][resource["curve_of"][cell]]
            for x, v, s in zip(c["corner"], c["value"], c["slope"]):
                below.add([(i, s) for i in load[cell]] + [(costs[cell], -1.0)], s * x - v)
        device_of = resource["device_of"] or [0] * experts
        for layer in range(layers):
            for d in range(max(device_of) + 1):
                own = [costs[layer * experts + e] for e in range(experts) if device_of[e] == d]
                below.add([(i, 1.0) for i in own] + [(slowest[layer], -1.0)], 0.0)
    first = len(cone.right)
    cone.rows += [first + r for r in below.rows]
    cone.columns, cone.entries = cone.columns + below.columns, cone.entries + below.entries
    cone.right += below.right
    cone.cones.append(clarabel.NonnegativeConeT(len(below.right)))
    # (-p, x, 1) and (-q, 1 - x, 1) in the exponential cone y exp(a / y) <= z.
    for i in range(n):
        for entropy, sign, one in ((n + i, -1.0, 0.0), (2 * n + i, 1.0, 1.0)):
            cone.add([(entropy, 1.0)], 0.0)
            cone.add([(i, sign)], one)
            cone.add([], 1.0)
            cone.cones.append(clarabel.ExponentialConeT())
    size = (len(cone.right), len(cost))
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-9
    solution = clarabel.DefaultSolver(
        sparse.csc_matrix((len(cost), len(cost))),
        numpy.array(cost),
        sparse.csc_matrix((cone.entries, (cone.rows, cone.columns)), shape=size),
        numpy.array(cone.right),
        cone.cones,
        settings,
    ).solve()
    # What it calls almost solved may be so to 1e-4, or to all that this asks.
    worst = max(abs(solution.obj_val - solution.obj_val_dual), solution.r_prim, solution.r_dual)
    if not worst <= 1e-7 * max(1.0, abs(solution.obj_val)):
        raise RuntimeError(f"Clarabel ends with {solution.status}: gap or residual {worst}")
    return solution.obj_val, [sum(solution.x[i] for i in cell) for cell in load]


KINDS = {
    "one resource": {},
    "kinks": {"segments": 3},
    "three resources and kinks": {"resources": 3, "segments": 3, "share": 0.92},
    "devices": {"layers": 2, "devices": 2, "segments": 2},
    "two resources on devices": {"layers": 2, "resources": 2, "devices": 4, "segments": 2, "share": 0.92},
    "out of reach": {"layers": 2, "segments": 2, "share": 0.1},
    "two out of reach": {"layers": 2, "resources": 2, "segments": 2, "share": 0.1},
}


def instances():
    """All of them, without their optima."""
    for kind, options in KINDS.items():
        for seed in range(6):
            yield dict(random_instance(seed, **options), name=f"{kind}, seed {seed}")


def main():
    if missing():
        print(missing(), file=sys.stderr)
        return 2
    solved = []
    for instance in instances():
        value, load = solve(instance)
        print(f"{instance['name']}: {value:.9f}", file=sys.stderr)
        solved.append(dict(instance, optimum=value, load=[round(x, 6) for x in load]))
    note = f"tools/clarabel_instances.py with Clarabel {importlib.metadata.version('clarabel')}; scores in 1/{SCORES_PER_UNIT}"
    text = ",\n".join(json.dumps(i, separators=(",", ":")) for i in solved)
    print(f'{{"note":{json.dumps(note)},\n"instances":[\n{text}\n]}}')
    return 0


if __name__ == "__main__":
    sys.exit(main())
