# SPDX-License-Identifier: Apache-2.0
"""Fits sums of first-order thermal responses to a temperature trace. Standard library only.

Model: T(t) = ambient + sum over poles k of x_k(t), tau_k x_k' = sum over drives d of r_dk P_d - x_k.
For given time constants it is linear in ambient, r_dk and the unknown initial rises x_k(0), so only
the time constants are searched (variable projection); r_dk and x_k(0) are kept >= 0.
"""

import math
from dataclasses import dataclass


def first_order(times, drive, tau):
    """Response of tau x' = drive - x from x = 0; drive[i] holds from times[i] to times[i + 1]. Exact."""
    response, x = [], 0.0
    for i, t in enumerate(times):
        if i:
            keep = math.exp(-(t - times[i - 1]) / tau)
            x = drive[i - 1] + keep * (x - drive[i - 1])
        response.append(x)
    return response


def solve(matrix, right):
    """Solves a small symmetric positive semidefinite system, lightly regularised."""
    n = len(right)
    rows = [list(row) + [right[i]] for i, row in enumerate(matrix)]
    for i in range(n):
        rows[i][i] += 1e-9 * (matrix[i][i] + 1e-12)
    for i in range(n):
        pivot = max(range(i, n), key=lambda j: abs(rows[j][i]))
        rows[i], rows[pivot] = rows[pivot], rows[i]
        for j in range(i + 1, n):
            factor = rows[j][i] / rows[i][i]
            if factor:
                rows[j] = [a - factor * b for a, b in zip(rows[j], rows[i])]
    solution = [0.0] * n
    for i in reversed(range(n)):
        rest = math.fsum(rows[i][j] * solution[j] for j in range(i + 1, n))
        solution[i] = (rows[i][n] - rest) / rows[i][i]
    return solution


def nonnegative_least_squares(columns, target, free):
    """Least squares with coefficients >= 0 but for those in `free`: drops the most negative one and
    solves again until none is left (not always the optimum, always feasible)."""
    scale = [math.sqrt(math.fsum(v * v for v in column)) or 1.0 for column in columns]
    columns = [[v / s for v in column] for column, s in zip(columns, scale)]
    gram = [[math.fsum(map(float.__mul__, a, b)) for b in columns] for a in columns]
    right = [math.fsum(map(float.__mul__, a, target)) for a in columns]
    active = list(range(len(columns)))
    while True:
        part = solve([[gram[i][j] for j in active] for i in active], [right[i] for i in active])
        negative = [(v, i) for v, i in zip(part, active) if v < 0.0 and i not in free]
        if not negative:
            break
        active.remove(min(negative)[1])
    coefficients = [0.0] * len(columns)
    for v, i in zip(part, active):
        coefficients[i] = v / scale[i]
    return coefficients


def nelder_mead(function, start, step=0.5, evaluations=250, tolerance=1e-4):
    """Minimises without gradients; returns the best point seen."""
    points = [list(start)]
    for i in range(len(start)):
        points.append([v + (step if j == i else 0.0) for j, v in enumerate(start)])
    simplex = sorted((function(p), p) for p in points)
    used = len(simplex)
    while used < evaluations and simplex[-1][0] - simplex[0][0] > tolerance * simplex[0][0]:
        n = len(start)
        centre = [math.fsum(p[j] for _, p in simplex[:-1]) / n for j in range(n)]
        worst_value, worst = simplex[-1]

        def along(distance):
            point = [c + distance * (c - w) for c, w in zip(centre, worst)]
            return function(point), point

        trial = along(1.0)
        used += 1
        if trial[0] < simplex[0][0]:
            trial = min(trial, along(2.0))
            used += 1
        elif trial[0] >= simplex[-2][0]:
            trial = min(trial, along(-0.5))
            used += 1
        if trial[0] < worst_value:
            simplex[-1] = trial
        else:
            best = simplex[0][1]
            for i in range(1, len(simplex)):
                point = [(a + b) / 2.0 for a, b in zip(best, simplex[i][1])]
                simplex[i] = (function(point), point)
                used += 1
        simplex.sort()
    return simplex[0][1]


@dataclass
class Fit:
    """Fitted parameters, poles from the fastest to the slowest."""

    ambient: float
    taus: list
    resistances: list  # [drive][pole], K/W
    initial: list  # [pole], K above ambient at times[0]

    def predict(self, times, drives):
        """Temperatures from the fit's own start; `drives` as in `fit_poles`."""
        total = [self.ambient] * len(times)
        for k, tau in enumerate(self.taus):
            mixed = [math.fsum(r[k] * p for r, p in zip(self.resistances, at)) for at in zip(*drives)]
            response = first_order(times, mixed, tau)
            total = [a + x + self.initial[k] * math.exp(-(t - times[0]) / tau)
                     for a, x, t in zip(total, response, times)]
        return total

    def steady_resistance(self, drive):
        return math.fsum(self.resistances[drive])


def linear_fit(times, temperature, drives, taus):
    """The best ambient, resistances and initial rises for given time constants."""
    columns = [[1.0] * len(times)]
    columns += [first_order(times, drive, tau) for drive in drives for tau in taus]
    columns += [[math.exp(-(t - times[0]) / tau) for t in times] for tau in taus]
    values = nonnegative_least_squares(columns, temperature, free={0})
    n = len(taus)
    resistances = [values[1 + d * n:1 + (d + 1) * n] for d in range(len(drives))]
    return Fit(values[0], list(taus), resistances, values[1 + len(drives) * n:])


def fit_poles(times, temperature, drives, start_taus, slowest=300.0):
    """Fits len(start_taus) poles. `drives`: one power series [W] a heat input, each with its own
    resistances and all with the same time constants, which stay within [0.01, slowest] seconds."""
    def clamp(logs):
        return sorted(min(max(math.exp(v), 0.01), slowest) for v in logs)

    def loss(logs):
        fit = linear_fit(times, temperature, drives, clamp(logs))
        return rmse(fit.predict(times, drives), temperature)

    best = nelder_mead(loss, [math.log(tau) for tau in start_taus])
    return linear_fit(times, temperature, drives, clamp(best))


def rmse(prediction, truth):
    return math.sqrt(math.fsum((a - b) ** 2 for a, b in zip(prediction, truth)) / len(truth))


def max_error(prediction, truth):
    return max(abs(a - b) for a, b in zip(prediction, truth))
