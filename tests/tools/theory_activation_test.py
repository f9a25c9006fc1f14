# SPDX-License-Identifier: Apache-2.0
"""Claims of docs/theory.md, section 4, in numbers: activation costs are hard to minimise, what their relaxation and
the greedy rules keep, and what holds for the rule that runs."""

import itertools
import math
import random
import unittest
from fractions import Fraction


def subsets(items):
    return itertools.chain.from_iterable(itertools.combinations(items, size) for size in range(len(items) + 1))


def kept(u, k, active):
    """f(S): what experts S keep of the tokens' mass."""
    return sum(sum(sorted((row[e] for e in active), reverse=True)[:k]) for row in u)


def best(row, k, among):
    return sorted(among, key=lambda e: (-row[e], e))[:k]


def losses(u, k):
    """(6) and (7), without groups and β: {expert of U: loss}."""
    everything = range(len(u[0]))
    picks = [best(row, k, everything) for row in u]
    union = set().union(*map(set, picks))
    loss = dict.fromkeys(union, 0.0)
    for row, own in zip(u, picks):
        following = max((row[e] for e in union if e not in own), default=0.0)
        for e in own:
            loss[e] += max(0.0, row[e] - following)
    return loss


def priced(u, k, k_min, price, cost):
    """(8): G and the active set."""
    kept_anyway = set().union(*(best(row, k_min, range(len(row))) for row in u))
    return kept_anyway, kept_anyway | {e for e, loss in losses(u, k).items() if loss >= price * cost[e]}


def random_tokens(draw, tokens, experts):
    return [[draw.expovariate(1) ** 2 for _ in range(experts)] for _ in range(tokens)]


class Hardness(unittest.TestCase):
    def test_the_least_activation_cost_of_two_liked_experts_a_token_is_a_vertex_cover(self):
        draw = random.Random(1)
        for _ in range(30):
            nodes = 6
            edges = [edge for edge in itertools.combinations(range(nodes), 2) if draw.random() < 0.5]
            u = [[float(e in edge) for e in range(nodes)] for edge in edges]
            cover = min(len(s) for s in subsets(range(nodes)) if all(a in s or b in s for a, b in edges))
            least = min(0.9 * len(s) - kept(u, 1, s) for s in subsets(range(nodes)))  # a = 0.9 < 1, u's gain
            self.assertAlmostEqual(least, 0.9 * cover - len(edges))


class Relaxation(unittest.TestCase):
    def test_prices_of_token_and_expert_prove_the_relaxed_optimum_of_the_gap_example(self):
        likes, half = [(0, 1), (1, 2), (0, 2)], Fraction(1, 2)
        # b_te of (35): non-negative, Σ_t b_te = a = 1 of each expert; each token's least price is then a bound.
        prices = [[half if e in liked else Fraction(0) for e in range(3)] for liked in likes]
        self.assertEqual([sum(column) for column in zip(*prices)], [1, 1, 1])
        self.assertEqual(sum(min(row[e] for e in liked) for row, liked in zip(prices, likes)), Fraction(3, 2))

    def test_no_prices_beat_the_relaxation_and_no_set_does(self):
        # Lagrangian bound of random prices <= relaxed value of random routings, and relaxed <= whole.
        draw = random.Random(2)
        for _ in range(100):
            u, a = random_tokens(draw, 4, 4), 0.8
            raw = [[draw.random() for _ in range(4)] for _ in range(4)]
            prices = [[a * raw[t][e] / sum(row[e] for row in raw) for e in range(4)] for t in range(4)]
            bound = sum(min(b - v for b, v in zip(*rows)) for rows in zip(prices, u))
            shares = [[draw.random() for _ in range(4)] for _ in range(4)]
            x = [[p / sum(row) for p in row] for row in shares]
            relaxed = a * sum(max(column) for column in zip(*x)) - sum(p * v for ps, vs in zip(x, u)
                                                                    for p, v in zip(ps, vs))
            self.assertLessEqual(bound, relaxed + 1e-12)
            whole = min(a * len(s) - kept(u, 1, s) for s in subsets(range(4)) if s)
            self.assertLessEqual(bound, whole + 1e-12)


class Greedy(unittest.TestCase):
    def test_distorted_greedy_keeps_its_guarantee(self):
        draw, positive = random.Random(3), 0
        for _ in range(60):
            experts, k = 7, 2
            u = random_tokens(draw, 5, experts)
            cost = [draw.uniform(0.2, 4) for _ in range(experts)]
            chosen = set()
            for i in range(experts):
                weight = (1 - 1 / experts) ** (experts - i - 1)

                def gain(e):
                    return weight * (kept(u, k, chosen | {e}) - kept(u, k, chosen)) - cost[e]

                candidate = max((e for e in range(experts) if e not in chosen), key=gain, default=None)
                if candidate is not None and gain(candidate) > 0:
                    chosen.add(candidate)
            reached = kept(u, k, chosen) - sum(cost[e] for e in chosen)
            bound = max((1 - 1 / math.e) * kept(u, k, rival) - sum(cost[e] for e in rival)
                        for rival in subsets(range(experts)))
            self.assertGreaterEqual(reached, bound - 1e-9)
            positive += bound > 1
        self.assertGreater(positive, 20)  # so that keeping no expert at all would not do


class TheRuleThatRuns(unittest.TestCase):
    def setUp(self):
        draw = random.Random(4)
        self.cases = [(random_tokens(draw, 6, 10), 3, 1, draw.uniform(0, 3), [draw.uniform(0.5, 1.5) for _ in range(10)])
                      for _ in range(100)]

    def test_a_loss_is_what_an_expert_that_leaves_alone_takes_along(self):
        for u, k, *_ in self.cases:
            loss = losses(u, k)
            union = set(loss)
            for e in union:
                self.assertAlmostEqual(loss[e], kept(u, k, union) - kept(u, k, union - {e}))

    def test_each_expert_that_runs_beyond_the_kept_ones_is_worth_its_price(self):
        beyond = 0
        for u, k, k_min, price, cost in self.cases:
            kept_anyway, active = priced(u, k, k_min, price, cost)
            for e in active - kept_anyway:
                self.assertGreaterEqual(kept(u, k, active) - kept(u, k, active - {e}), price * cost[e] - 1e-9)
                beyond += 1
        self.assertGreater(beyond, 50)

    def test_no_token_keeps_less_than_its_k_min_best(self):
        for u, k, k_min, price, cost in self.cases:
            _, active = priced(u, k, k_min, price, cost)
            for row in u:
                own = sum(row[e] for e in best(row, k, range(10)))
                floor = sum(row[e] for e in best(row, k_min, range(10))) / own
                self.assertGreaterEqual(sum(row[e] for e in best(row, k, active)) / own, floor - 1e-12)
                self.assertGreaterEqual(floor, k_min / k)

    def test_several_that_leave_together_lose_no_less_than_the_sum_of_their_losses(self):
        more = 0
        for u, k, k_min, price, cost in self.cases:
            loss = losses(u, k)
            _, active = priced(u, k, k_min, price, cost)
            lost = kept(u, k, set(loss)) - kept(u, k, active)
            promised = sum(loss[e] for e in set(loss) - active)
            self.assertGreaterEqual(lost, promised - 1e-9)
            more += lost > promised + 1e-6
        self.assertGreater(more, 10)


if __name__ == "__main__":
    unittest.main()
