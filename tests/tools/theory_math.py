# SPDX-License-Identifier: Apache-2.0
"""What the tests of docs/theory.md compute with."""

import math
import statistics


def sigma(z):
    return 1 / (1 + math.exp(-z)) if z > -700 else 0.0


def fermi(values, k, tau):
    """Equation (4): σ((v − μ)/τ) with μ so that they sum to k."""
    low, high = min(values) - 50 * tau, max(values) + 50 * tau
    for _ in range(60):
        mu = (low + high) / 2
        if sum(sigma((v - mu) / tau) for v in values) > k:
            low = mu
        else:
            high = mu
    return [sigma((v - mu) / tau) for v in values]


def entropy(x):
    """x log x + (1 − x) log(1 − x), with 0 log 0 = 0."""
    return sum(p * math.log(p) for p in (x, 1 - x) if p > 0)


def grid(low, high, steps=1000):
    return [low + (high - low) * i / steps for i in range(steps + 1)]


def local_minima(f, points):
    """Points of a grid that are below their neighbours."""
    values = [math.inf, *map(f, points), math.inf]
    return [x for i, x in enumerate(points) if values[i] > values[i + 1] < values[i + 2]]


def root(f, low, high):
    """Where f, which rises, is 0."""
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if f(middle) < 0 else (low, middle)
    return (low + high) / 2


def envelope(points):
    """Lower convex envelope of points (x, y), x ascending: its corners."""
    hull = []
    for x, y in points:
        while len(hull) > 1 and ((hull[-1][1] - hull[-2][1]) * (x - hull[-2][0])
                                 >= (y - hull[-2][1]) * (hull[-1][0] - hull[-2][0])):
            hull.pop()
        hull.append((x, y))
    return hull


def interpolated(points, x):
    """Linear between points (x, y)."""
    for (left, below), (right, above) in zip(points, points[1:]):
        if x <= right:
            return below + (above - below) * (x - left) / (right - left)
    return points[-1][1]


def line_fit(points):
    """Least squares through (x, y): constant, slope, and the largest relative distance of a y from the line."""
    slope, constant = statistics.linear_regression(*zip(*points))
    return constant, slope, max(abs(y - constant - slope * x) / y for x, y in points)
