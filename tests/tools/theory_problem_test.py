# SPDX-License-Identifier: Apache-2.0
"""Claims of docs/theory.md, sections 1 to 3, in numbers: the combined objective, envelopes, the dual's rate, the
limit without softness, rounding."""

import itertools
import math
import random
import unittest

from theory_math import entropy, envelope, fermi, interpolated, root, sigma


def relu(z):
    return max(0.0, z)


class CombinedObjective(unittest.TestCase):
    """(29): convex in routing and period together."""

    tokens, experts, k = 4, 3, 1

    def routing(self, draw):
        rows = []
        for _ in range(self.tokens):
            row = [draw.expovariate(1) ** 3 for _ in range(self.experts)]
            rows.append([self.k * x / sum(row) for x in row])
        return rows

    def setUp(self):
        draw = random.Random(1)
        self.draw = draw
        self.utility = [[draw.random() for _ in range(self.experts)] for _ in range(self.tokens)]
        self.joules = [lambda n, a=a: a * n + relu(n - 1) for a in (1, 2, 3)]
        self.seconds = [lambda n, a=a: a * n + 2 * relu(n - 2) for a in (2, 1, 1)]

    def loads(self, x):
        return [sum(row[e] for row in x) for e in range(self.experts)]

    def energy(self, x):
        return sum(c(n) for c, n in zip(self.joules, self.loads(x)))

    def length(self, x):
        return sum(c(n) for c, n in zip(self.seconds, self.loads(x)))

    def objective(self, x, t):
        mean = self.tokens * self.k / self.experts
        kept = sum(u * p for us, ps in zip(self.utility, x) for u, p in zip(us, ps))
        softness = 0.001 * sum(entropy(p) for row in x for p in row)
        balance = 0.001 * sum((n / mean - 1) ** 2 for n in self.loads(x))
        power = 0.3 * relu(self.energy(x) - 0.4 * t)  # joules above those that the cap allows in a period
        heat = 0.2 * max(relu(self.energy(x) - watts * t) for watts in (0.7, 0.5))  # the power that a horizon allows
        late = 0.1 * relu(self.length(x) - 6)
        return -kept + softness + balance + 0.02 * self.energy(x) + power + heat + late + 0.05 * t

    def test_the_combined_objective_is_convex_in_routing_and_period_together(self):
        worst = -math.inf
        for i in range(2000):
            x = self.routing(self.draw)
            y = self.routing(self.draw) if i % 2 else x
            t, s = self.length(x) * (1 + 2 * self.draw.random()), self.length(y) * (1 + 2 * self.draw.random())
            middle = [[(p + q) / 2 for p, q in zip(*rows)] for rows in zip(x, y)]
            self.assertGreaterEqual((t + s) / 2, self.length(middle) - 1e-12)  # t >= L(n) goes on to hold
            worst = max(worst, self.objective(middle, (t + s) / 2) - (self.objective(x, t) + self.objective(y, s)) / 2)
        self.assertLessEqual(worst, 1e-12)

    def test_with_watts_in_place_of_joules_and_a_reward_for_throughput_it_is_not(self):
        def rewarded(x):
            return self.energy(x) / self.length(x) - 3 / self.length(x)

        worst = 0.0
        for _ in range(2000):
            x, y = self.routing(self.draw), self.routing(self.draw)
            middle = [[(p + q) / 2 for p, q in zip(*rows)] for rows in zip(x, y)]
            worst = max(worst, rewarded(middle) - (rewarded(x) + rewarded(y)) / 2)
        self.assertGreater(worst, 0.01)


class Envelopes(unittest.TestCase):
    def test_a_curve_is_no_further_above_its_envelope_between_its_points_than_at_them(self):
        draw = random.Random(2)
        for _ in range(200):
            points = [(float(x), 1 + 3 * draw.random()) for x in sorted(draw.sample(range(1, 60), 8))]
            hull = envelope(points)
            distance = max((y - interpolated(hull, x)) / y for x, y in points)
            for i in range(401):
                x = points[0][0] + (points[-1][0] - points[0][0]) * i / 400
                low, curve = interpolated(hull, x), interpolated(points, x)
                self.assertLessEqual(low, curve + 1e-12)
                self.assertLessEqual(curve, low / (1 - distance) + 1e-12)

    def test_rows_by_tokens_and_active_experts_interpolate_to_no_convex_function(self):
        def bilinear(tokens, active):  # corners of one cell: 0, 0, 0, 1 at (0,0), (1,0), (0,1), (1,1)
            return tokens * active

        self.assertGreater(bilinear(0.5, 0.5), (bilinear(1, 0) + bilinear(0, 1)) / 2)


class SmoothDual(unittest.TestCase):
    """Proximal gradient on the dual of a small (P) whose kinks are rounded off by δ: rate and bias of (31)."""

    tau, tokens, experts, k = 0.05, 6, 4, 2
    kinks = (1.5, 3.5)

    def setUp(self):
        draw = random.Random(3)
        self.v = [[draw.random() for _ in range(self.experts)] for _ in range(self.tokens)]
        # Slopes of each expert's cost before the first kink, up to the second, behind it.
        self.slopes = [sorted(draw.uniform(0, 0.4) for _ in range(3)) for _ in range(self.experts)]

    def cost(self, e, n):
        a, b, c = self.slopes[e]
        first, second = self.kinks
        return a * n + (b - a) * relu(n - first) + (c - b) * relu(n - second)

    def nearest(self, e, z, step):
        """argmin of cost(n) + (n − z)²/(2 step)."""
        n = z
        for slope, low, high in zip(self.slopes[e], (-math.inf, *self.kinks), (*self.kinks, math.inf)):
            n = z - step * slope
            if n <= high:
                return max(n, low)
        return n

    def rounded_cost(self, e, n, delta):
        m = self.nearest(e, n, delta)
        return self.cost(e, m) + (n - m) ** 2 / (2 * delta)

    def router(self, prices):
        return [fermi([v - b for v, b in zip(row, prices)], self.k, self.tau) for row in self.v]

    def loads(self, prices):
        return [sum(column) for column in zip(*self.router(prices))]

    def step(self, prices, delta):
        size = 4 * self.tau / self.tokens
        moved = [(b + size * n) / (1 + size * delta) for b, n in zip(prices, self.loads(prices))]
        short = size / (1 + size * delta)
        # prox of F*: z − s·prox of F at z/s with step 1/s.
        return [z - short * self.nearest(e, z / short, 1 / short) for e, z in enumerate(moved)]

    def solve(self, delta, steps):
        prices = [0.0] * self.experts
        for _ in range(steps):
            prices = self.step(prices, delta)
        return prices

    def objective(self, prices):
        x = self.router(prices)
        kept = sum(v * p for vs, ps in zip(self.v, x) for v, p in zip(vs, ps))
        softness = self.tau * sum(entropy(p) for row in x for p in row)
        return -kept + softness + sum(self.cost(e, n) for e, n in enumerate(self.loads(prices)))

    def test_every_step_is_shorter_by_the_stated_factor(self):
        delta = 0.5
        best = self.solve(delta, 800)
        factor = 1 / (1 + 4 * self.tau * delta / self.tokens)
        prices, ratios = [0.0] * self.experts, []
        for _ in range(60):
            before = math.dist(prices, best)
            prices = self.step(prices, delta)
            ratios.append(math.dist(prices, best) / before)
        self.assertLessEqual(max(ratios), factor + 1e-6)

    def test_the_factor_is_attained_where_all_loads_are_at_a_kink(self):
        delta, price = 0.5, 0.5
        self.v = [[0.0] * self.experts for _ in range(self.tokens)]
        self.slopes, self.kinks = [[0.0, 1.0, 1.0]] * self.experts, (3.0, 100.0)
        after = self.step([price] * self.experts, delta)
        for b in after:
            self.assertAlmostEqual(b, price / (1 + 4 * self.tau * delta / self.tokens), places=9)

    def test_rounding_the_kinks_off_costs_no_more_than_is_stated(self):
        exact = self.objective(self.solve(1e-3, 1500))
        steepest = sum(slopes[-1] ** 2 for slopes in self.slopes)
        for delta in (0.1, 0.5, 2.0):
            prices = self.solve(delta, 800)
            self.assertLessEqual(self.objective(prices) - exact, delta * steepest / 2 + 1e-5)
            for e, n in enumerate(self.loads(prices)):
                self.assertGreaterEqual(self.cost(e, n), self.rounded_cost(e, n, delta) - 1e-12)
        self.assertGreater(self.objective(self.solve(2.0, 800)) - exact, 1e-4)  # it does cost something

    def test_the_curvature_is_bounded_by_that_of_two_halves_and_from_below_by_the_least_weight(self):
        def bent(row, d):
            """Curvature of a row's dual along d, and the least weight."""
            w = [x * (1 - x) / self.tau for x in row]
            return sum(a * z * z for a, z in zip(w, d)) - sum(a * z for a, z in zip(w, d)) ** 2 / sum(w), min(w)

        draw = random.Random(4)
        for row in self.router([0.0] * self.experts):
            for _ in range(100):
                d = [draw.gauss(0, 1) for _ in range(self.experts)]
                d = [z - sum(d) / self.experts for z in d]
                size = sum(z * z for z in d)
                curvature, least = bent(row, d)
                self.assertLessEqual(curvature, size / (4 * self.tau) + 1e-12)
                self.assertGreaterEqual(curvature, least * size - 1e-12)
        # Attained: two experts at one half.
        self.assertAlmostEqual(bent(fermi([0.3, 0.3], 1, self.tau), [1, -1])[0], 2 / (4 * self.tau))


class WithoutSoftness(unittest.TestCase):
    """(32): what τ costs, and which of several optima its limit is."""

    def softly(self, gains, uses, cap, tau):
        """Shares on the dear one of two experts, k = 1, with a cap on its use: (4) at the price that meets it."""
        def shares(price):
            return [fermi([g - price * s, 0.0], 1, tau)[0] for g, s in zip(gains, uses)]

        price = root(lambda p: cap - sum(s * x for s, x in zip(uses, shares(p))), 0.0, 10.0)
        return shares(price), price

    def test_softness_costs_no_more_than_its_entropy(self):
        draw = random.Random(5)
        for _ in range(10):
            gains, uses = [draw.random() for _ in range(8)], [draw.uniform(0.5, 2) for _ in range(8)]
            cap = sum(uses) * 0.4
            room, best = cap, 0.0
            for gain, use in sorted(zip(gains, uses), key=lambda t: -t[0] / t[1]):  # the knapsack's optimum
                share = min(1.0, max(0.0, room / use))
                best, room = best + share * gain, room - share * use
            for tau in (0.3, 0.1, 0.03, 0.01):
                shares, _ = self.softly(gains, uses, cap, tau)
                lost = best - sum(g * x for g, x in zip(gains, shares))
                self.assertGreaterEqual(lost, -1e-9)
                self.assertLessEqual(lost, tau * 8 * 2 * math.log(2))

    def test_at_ties_the_limit_is_the_optimum_of_largest_entropy(self):
        # Gains as uses: every routing that meets the cap is optimal, x₁ + 2x₂ + 3x₃ = 4.
        gains, uses, cap = [0.1, 0.2, 0.3], [1, 2, 3], 4.0
        shares, price = self.softly(gains, uses, cap, 1e-4)
        self.assertAlmostEqual(price, 0.1, places=3)
        # The largest entropy on that plane: log(x/(1 − x)) in proportion to use.
        z = root(lambda z: sum(s * sigma(s * z) for s in uses) - cap, -5, 5)
        spread = [sigma(s * z) for s in uses]
        for share, expected in zip(shares, spread):
            self.assertAlmostEqual(share, expected, places=6)
        self.assertGreater(max(shares) - min(shares), 0.05)


class Rounding(unittest.TestCase):
    def dual_vertex(self, gains, uses, caps):
        """Least point of Σ_t max_e (u − λ·s) + λ·cap over two prices λ >= 0, by all crossings of ties."""
        experts = range(len(uses[0]))
        lines = [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0)]
        lines += [(uses[0][e] - uses[0][f], uses[1][e] - uses[1][f], row[e] - row[f])
                  for row in gains for e, f in itertools.combinations(experts, 2)]

        def value(prices):
            return sum(max(row[e] - sum(p * s[e] for p, s in zip(prices, uses)) for e in experts)
                       for row in gains) + sum(p * c for p, c in zip(prices, caps))

        best, where = math.inf, None
        for (a, b, r), (c, d, s) in itertools.combinations(lines, 2):
            size = a * d - b * c
            if abs(size) < 1e-12:
                continue
            prices = ((r * d - b * s) / size, (a * s - r * c) / size)
            if min(prices) >= -1e-12 and value(prices) < best:
                best, where = value(prices), prices
        return best, where

    def test_as_many_tokens_are_split_as_affine_caps_bind(self):
        draw, seen = random.Random(6), set()
        for _ in range(30):
            gains = [[draw.random() for _ in range(3)] for _ in range(6)]
            uses = [[draw.random() for _ in range(3)] for _ in range(2)]
            some = [draw.randrange(3) for _ in gains]  # a routing that meets the caps, so that they can be met
            caps = [sum(use[e] for e in some) + draw.choice((0.3, 2.0)) for use in uses]
            best, prices = self.dual_vertex(gains, uses, caps)
            binding = [r for r in (0, 1) if prices[r] > 1e-9]
            net = [[row[e] - sum(p * s[e] for p, s in zip(prices, uses)) for e in range(3)] for row in gains]
            tied = [[e for e in range(3) if row[e] > max(row) - 1e-9] for row in net]
            split = [t for t, best_ones in enumerate(tied) if len(best_ones) > 1]
            self.assertLessEqual(len(split), len(binding))
            seen.add(len(split))
            # Shares of the split tokens from the caps that bind: a routing of the dual's value, so an optimum.
            x = [[float(e == row[0]) for e in range(3)] for row in tied]
            rest = [caps[r] - sum(uses[r][e] * x[t][e] for t in range(6) for e in range(3)) for r in binding]
            change = [[uses[r][tied[t][1]] - uses[r][tied[t][0]] for t in split] for r in binding]
            if len(split) == 1:
                shares = [rest[0] / change[0][0]]
            elif len(split) == 2:
                size = change[0][0] * change[1][1] - change[0][1] * change[1][0]
                shares = [(rest[0] * change[1][1] - change[0][1] * rest[1]) / size,
                          (change[0][0] * rest[1] - rest[0] * change[1][0]) / size]
            else:
                shares = []
            for t, share in zip(split, shares):
                self.assertTrue(-1e-6 <= share <= 1 + 1e-6)
                x[t][tied[t][0]], x[t][tied[t][1]] = 1 - share, share
            kept = sum(u * p for us, ps in zip(gains, x) for u, p in zip(us, ps))
            self.assertAlmostEqual(kept, best, places=6)
        self.assertEqual(seen, {0, 1, 2})

    def test_without_a_cap_that_binds_and_with_kinks_at_whole_loads_whole_picks_are_optimal(self):
        draw = random.Random(7)
        tokens, experts, k = 5, 3, 2
        for _ in range(25):
            u = [[draw.random() for _ in range(experts)] for _ in range(tokens)]
            slopes = [sorted(draw.uniform(0, 0.6) for _ in range(tokens)) for _ in range(experts)]

            def value(left_out):
                loads = [tokens - left_out.count(e) for e in range(experts)]
                kept = sum(sum(row) - row[e] for row, e in zip(u, left_out))
                return kept - sum(sum(s[:n]) for s, n in zip(slopes, loads))

            best = max(itertools.product(range(experts), repeat=tokens), key=value)
            loads = [tokens - best.count(e) for e in range(experts)]
            # Prices in ∂c(n) at which each token's picks are its best: differences b_e − b_f <= w, node 3 is 0.
            edges = [(f, e, row[e] - row[f]) for row, f in zip(u, best) for e in range(experts) if e != f]
            for e, n in enumerate(loads):
                if n < tokens:
                    edges.append((experts, e, slopes[e][n]))
                if n > 0:
                    edges.append((e, experts, -slopes[e][n - 1]))
            b = [0.0] * (experts + 1)
            for _ in range(experts + 2):
                for low, high, w in edges:
                    b[high] = min(b[high], b[low] + w)
            self.assertTrue(all(b[high] <= b[low] + w + 1e-9 for low, high, w in edges), "no such prices")


if __name__ == "__main__":
    unittest.main()
