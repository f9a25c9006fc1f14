# SPDX-License-Identifier: Apache-2.0
"""The counter-examples of docs/theory.md, section 7: each figure there is computed here."""

import itertools
import math
import re
import unittest
from fractions import Fraction
from pathlib import Path

from theory_math import fermi, grid, local_minima


class CounterExamples(unittest.TestCase):
    def test_e1_rewarding_throughput_has_two_minima_where_the_step_time_has_one(self):
        def length(x):  # share x of the load goes to the slow expert that the tokens prefer
            return 1 + 2 * x

        def rewarded(x):
            return -0.6 * x - 1 / length(x)

        def charged(x):
            return -0.6 * x + 0.29 * length(x)

        self.assertEqual(local_minima(rewarded, grid(0, 1)), [0, 1])
        self.assertAlmostEqual(rewarded(0), -1)
        self.assertAlmostEqual(rewarded(1), -0.933, places=3)
        # The point between at which the slope is zero, so that KKT holds, is the worst one.
        still = (math.sqrt(2 / 0.6) - 1) / 2
        self.assertAlmostEqual(still, 0.413, places=3)
        self.assertAlmostEqual(max(map(rewarded, grid(0, 1))), rewarded(still), places=5)
        self.assertAlmostEqual(rewarded(still), -0.795, places=3)
        self.assertEqual(local_minima(charged, grid(0, 1)), [1])

    def test_e2_a_cap_on_power_is_no_convex_set_of_loads_but_one_of_loads_and_period(self):
        def energy(n):
            return 0.5 + 0.5 * n

        def length(n):
            return max(1, n)

        def watts(n):
            return energy(n) / length(n)

        cap = 0.75
        self.assertEqual(watts(0), 0.5)
        self.assertAlmostEqual(watts(3), 0.667, places=3)
        self.assertAlmostEqual(watts(1.5), 0.833, places=3)  # the mean of two loads that meet the cap does not
        # With a period t >= L(n) of its own, the mean of two points meets it: pacing is the way there.
        mean = ((0 + 3) / 2, (length(0) + length(3)) / 2)
        self.assertGreaterEqual(mean[1], length(mean[0]))
        self.assertLessEqual(energy(mean[0]), cap * mean[1])
        for n, m in itertools.product(grid(0, 4, 16), repeat=2):
            for t, s in itertools.product(grid(1, 5, 16), repeat=2):
                if all(length(a) <= b and energy(a) <= cap * b for a, b in ((n, t), (m, s))):
                    self.assertGreaterEqual((t + s) / 2, length((n + m) / 2))
                    self.assertLessEqual(energy((n + m) / 2), cap * (t + s) / 2 + 1e-12)

    def test_e3_factors_that_depend_on_the_load_make_the_even_split_the_dearest(self):
        def cost(first, second):  # each expert is slowed by the traffic of the other
            return first * (1 + second) + second * (1 + first)

        self.assertEqual([cost(2, 0), cost(1, 1), cost(0, 2)], [2, 4, 2])
        self.assertEqual(local_minima(lambda n: cost(n, 2 - n), grid(0, 2)), [0, 2])

        def frozen(first, second):  # the factors as measured at (1, 1)
            return first * 2 + second * 2

        self.assertEqual([frozen(2, 0), frozen(1, 1), frozen(0, 2)], [4, 4, 4])

    def test_e4_a_fixed_point_iteration_cycles_between_two_loads(self):
        tau, tokens, gamma = 0.01, 10, 0.01  # c(n) = γ n²/2 for both experts: b = γ n

        def loads(prices):
            return [tokens * x for x in fermi([-b for b in prices], 1, tau)]

        seen = [[5.1, 4.9]]
        for _ in range(60):
            seen.append(loads([gamma * n for n in seen[-1]]))
        self.assertAlmostEqual(max(seen[-1]), 9.93, places=2)
        self.assertAlmostEqual(max(seen[-2]), 9.93, places=2)
        self.assertNotEqual(seen[-1][0] > 5, seen[-2][0] > 5)
        self.assertAlmostEqual(seen[-1][0], seen[-3][0], places=9)
        slope = (loads([gamma * 5.001, gamma * 4.999])[0] - loads([gamma * 4.999, gamma * 5.001])[0]) / 0.002
        self.assertAlmostEqual(slope, -2.5, places=4)
        # The one optimum is the even split. Steps of a quarter of the way find it.
        self.assertAlmostEqual(loads([gamma * 5, gamma * 5])[0], 5)
        n = [5.1, 4.9]
        for _ in range(60):
            n = [0.75 * old + 0.25 * new for old, new in zip(n, loads([gamma * m for m in n]))]
        self.assertAlmostEqual(n[0], 5, places=6)

    def test_e5_hard_top_k_flips_at_an_active_target_and_mixing_two_plans_does_not(self):
        tokens, gain, dear, cheap, cap = 10, 0.1, 2, 1, 15  # ten like tokens, k = 1, joules an expert's token

        def energy(price):
            return tokens * (dear if gain > price * (dear - cheap) else cheap)

        price, seen = 0.0, []
        for _ in range(400):
            seen.append(energy(price))
            price = max(0, price + 0.001 * (seen[-1] - cap))
        self.assertEqual(set(seen[200:]), {10, 20})
        self.assertAlmostEqual(sum(seen[200:]) / 200, cap, delta=0.1)
        # At the price of the tie (P) sends half of each token, or all of half the tokens, to the dear one.
        mixed = (tokens // 2) * (dear + cheap)
        self.assertEqual(mixed, cap)
        # The hard rule that keeps the cap loses 1.0, the optimum 0.5.
        self.assertAlmostEqual(tokens * gain, 1.0)
        self.assertAlmostEqual(tokens // 2 * gain, 0.5)

    def test_e6_with_unlike_tokens_and_one_target_one_token_is_split(self):
        gains, dear, cheap, cap = [0.01 * (t + 1) for t in range(10)], 2, 1, 14.5
        room = cap - cheap * len(gains)
        shares = []
        for gain in sorted(gains, reverse=True):  # a fractional knapsack: the largest gains first
            shares.append(min(1, max(0, room)))
            room -= shares[-1]
        self.assertEqual(sum(0 < share < 1 for share in shares), 1)
        kept = sum(share * gain for share, gain in zip(shares, sorted(gains, reverse=True)))
        best_whole = max(sum(chosen) for size in range(5) for chosen in itertools.combinations(gains, size))
        self.assertAlmostEqual(kept, 0.37)
        self.assertAlmostEqual(best_whole, 0.34)
        self.assertLessEqual(kept - best_whole, max(gains))

    def test_e7_the_relaxed_activation_cost_is_a_quarter_below_the_true_one(self):
        likes = [(0, 1), (1, 2), (0, 2)]  # three tokens, k = 1, each likes two of three experts
        whole = min(len(set(picks)) for picks in itertools.product(*likes))
        self.assertEqual(whole, 2)
        half = Fraction(1, 2)
        x = [[half if e in liked else 0 for e in range(3)] for liked in likes]
        self.assertEqual(sum(max(row[e] for row in x) for e in range(3)), Fraction(3, 2))
        # No relaxed routing is cheaper: m_e + m_f >= 1 for each token's two, and each expert is in two of them.
        self.assertTrue(all(sum(e in liked for liked in likes) == 2 for e in range(3)))

    def test_e8_like_experts_with_convex_costs_are_spread_and_activate_more(self):
        def objective(second, curvature):  # four tokens, k = 1; each prefers the first of two like experts by 0.15
            first = 4 - second
            return -0.15 * first + curvature * (first ** 2 + second ** 2) + 0.05 * (first + second)

        self.assertEqual(min(range(5), key=lambda second: objective(second, 0)), 0)  # affine: D = 1, as without prices
        self.assertEqual(min(range(5), key=lambda second: objective(second, 0.05)), 1)  # convex: D = 2

    def test_e9_at_k_1_the_router_of_p_is_not_softmax(self):
        values, tau = [1.0, 0.0, 0.0], 1.0
        total = sum(math.exp(v / tau) for v in values)
        softmax = [math.exp(v / tau) / total for v in values]
        self.assertAlmostEqual(softmax[0], 0.576, places=3)
        self.assertAlmostEqual(fermi(values, 1, tau)[0], 0.485, places=3)

    def test_e10_nor_at_k_2_the_marginal_of_the_gibbs_distribution_over_pairs(self):
        values, tau = [1.0, 0.0, 0.0], 1.0
        pairs = {pair: math.exp(sum(values[e] for e in pair) / tau) for pair in itertools.combinations(range(3), 2)}
        gibbs = sum(weight for pair, weight in pairs.items() if 0 in pair) / sum(pairs.values())
        self.assertAlmostEqual(gibbs, 0.845, places=3)
        self.assertAlmostEqual(fermi(values, 2, tau)[0], 0.802, places=3)

    def test_e11_with_a_bias_for_selection_what_is_kept_may_fall_as_the_set_grows(self):
        u, beta = [0.6, 0.1], [0.0, 0.7]  # k = 1: the token picks by u + β

        def kept(experts):
            return u[max(experts, key=lambda e: u[e] + beta[e])]

        self.assertEqual(kept([0]), 0.6)
        self.assertEqual(kept([0, 1]), 0.1)

    def test_e12_pacing_and_price_are_convex_in_period_and_logarithm_of_the_share_kept(self):
        def watts(batch, dropped):
            return (1 - dropped) * 128 * (1 - (1 - 8 / 128) ** batch) / batch

        cap = 3.2
        ends = [(batch, 1 - cap / watts(batch, 0)) for batch in (8, 32)]
        self.assertAlmostEqual(ends[0][1], 0.504, places=3)
        self.assertAlmostEqual(ends[1][1], 0.084, places=3)
        mean = (ends[0][1] + ends[1][1]) / 2
        self.assertAlmostEqual(mean, 0.294, places=3)
        self.assertAlmostEqual(watts(20, mean), 3.28, places=2)
        mean_of_logarithms = 1 - math.sqrt((1 - ends[0][1]) * (1 - ends[1][1]))
        self.assertAlmostEqual(mean_of_logarithms, 0.326, places=3)
        self.assertAlmostEqual(watts(20, mean_of_logarithms), 3.13, places=2)
        for left, right in itertools.combinations(grid(1, 100, 99), 2):
            self.assertLessEqual(2 * math.log(watts((left + right) / 2, 0)),
                                 math.log(watts(left, 0)) + math.log(watts(right, 0)) + 1e-12)

    def test_e13_where_costs_have_kinks_more_tokens_are_split_than_caps_bind(self):
        def loss(a_to_k, a_to_b, k_to_b):  # shares that the first token moves from A, the second from K
            away = a_to_k + a_to_b
            if away > 1 or 2 - 2 * away > 1:  # joules: 2 a token on A, none on K and B, cap 1
                return math.inf
            over = max(0, a_to_k - k_to_b)  # tokens on K beyond the one at which its cost has a kink
            return 0.5 * a_to_k + 1.0 * a_to_b + 0.1 * k_to_b + 10 * over

        best = min(itertools.product(grid(0, 1, 20), repeat=3), key=lambda shares: loss(*shares))
        self.assertEqual(best, (0.5, 0, 0.5))  # one cap, two tokens split
        self.assertAlmostEqual(loss(*best), 0.3)
        self.assertAlmostEqual(loss(0, 0.5, 0), 0.5)  # one token split: the first to B

    def test_e14_two_experts_that_stand_in_for_each_other_leave_together(self):
        shares = [{0: 0.7, 1: 0.3, 2: 0.29}, {0: 0.7, 2: 0.3, 1: 0.29}]  # k = 2, k_min = 1

        def kept(active):
            return sum(sum(sorted((u[e] for e in active), reverse=True)[:2]) for u in shares)

        price = 0.02
        losses = {e: kept({0, 1, 2}) - kept({0, 1, 2} - {e}) for e in (1, 2)}
        for loss in losses.values():
            self.assertAlmostEqual(loss, 0.01)
            self.assertLess(loss, price)  # so that both leave
        self.assertAlmostEqual(kept({0, 1, 2}) - kept({0}), 0.6)
        self.assertAlmostEqual(kept({0, 1, 2}) - kept({0, 1}), 0.01)  # where one would have done

    def test_e15_a_cap_on_step_time_is_no_convex_set_of_periods_and_prices(self):
        def experts_time(batch, q):
            return math.exp(-q) * 128 * (1 - (1 - 8 / 128) ** batch)

        ends = [(batch, math.log(experts_time(batch, 0) / 40)) for batch in (8, 64)]
        for batch, q in ends:
            self.assertAlmostEqual(experts_time(batch, q), 40)
        self.assertAlmostEqual(experts_time(36, sum(q for _, q in ends) / 2), 57.3, places=1)

    def test_e16_a_longer_period_may_draw_more_watts_where_an_engine_pads(self):
        def watts(batch):  # a step of 1 J and 0.1 J a row, rows padded to the next size of a graph; one token a second
            return (1 + 0.1 * next(size for size in (16, 32, 64) if size >= batch)) / batch

        self.assertAlmostEqual(watts(16), 0.1625)
        self.assertAlmostEqual(watts(17), 0.247, places=3)
        self.assertAlmostEqual(watts(32), 0.131, places=3)
        self.assertEqual(local_minima(watts, range(1, 65)), [16, 32, 64])

    def test_e17_leakage_that_follows_temperature_makes_products_of_powers(self):
        def after_two(first, second, leakage):
            warm = 0.5 * first
            return 0.5 * warm + 0.5 * second * (1 + leakage * warm)

        self.assertEqual([after_two(a, 4 - a, 0.2) for a in (0, 2, 4)], [2, 1.7, 1])
        self.assertGreater(1.7, (2 + 1) / 2)
        self.assertEqual([after_two(a, 4 - a, 0) for a in (0, 2, 4)], [2, 1.5, 1])

    def test_e18_a_delay_that_the_model_lacks_makes_a_quick_filter_swing(self):
        def stray(gain, missing):  # from a cap, 100 ticks after a step of 57 W; the sensor is late, its model is not
            estimates = [0.0]
            for tick in range(100):
                shown = estimates[max(0, tick - missing)]  # the plan that the reading is of
                residual = 57.0 - shown + estimates[tick]  # measured − model: the cap less each cancels
                estimates.append(estimates[tick] + gain * (residual - estimates[tick]))
            return abs(57.0 - estimates[-1])

        self.assertLess(stray(0.22, 3), 0.1)
        self.assertLess(stray(0.5, 1), 0.1)
        self.assertGreater(stray(0.5, 3), 57)

    def test_the_theory_lists_each_example_and_no_other(self):
        theory = (Path(__file__).resolve().parents[2] / "docs" / "theory.md").read_text(encoding="utf-8")
        listed = re.findall(r"^- \*\*E(\d+)\*\*", theory.split("## 7.")[1], re.MULTILINE)
        tested = re.findall(r"test_e(\d+)_", " ".join(dir(self)))
        self.assertEqual(sorted(listed), sorted(tested))


if __name__ == "__main__":
    unittest.main()
