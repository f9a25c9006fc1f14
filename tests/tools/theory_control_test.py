# SPDX-License-Identifier: Apache-2.0
"""Claims of docs/theory.md, sections 5 and 8, in numbers: how far the measured value strays from its cap, what heat
does, pacing and price together."""

import itertools
import json
import math
import random
import struct
import unittest
from pathlib import Path

from theory_math import grid, root

REPOSITORY = Path(__file__).resolve().parents[2]


def track(disturbance, gain, delay, model_delay, error, cap=100.0, noise=lambda: 0.0):
    """True value less cap, tick by tick, of (38): the plant draws (1 + error) times its model and the disturbance."""
    estimate, moves, strays = 0.0, [], []
    for j, d in enumerate(disturbance):
        moves.append(cap - estimate)  # what the model is asked to draw
        strays.append((1 + error) * moves[-1] + d - cap)
        shown, believed = max(0, j - delay), max(0, j - model_delay)
        reading = (1 + error) * moves[shown] + disturbance[shown] + noise()
        estimate += gain * (reading - moves[believed] - estimate)
    return strays


class Tracking(unittest.TestCase):
    def test_the_stray_from_a_cap_is_bounded_by_drift_times_age_of_what_is_known(self):
        draw = random.Random(1)
        for gain, delay, error in itertools.product((0.1, 0.22, 0.5), (0, 1, 3), (-0.15, 0.0, 0.15)):
            drift, d = 2.0, [0.0]
            while len(d) < 3000:  # runs of one direction are the worst
                direction = draw.choice((-1, 1))
                d += [d[-1] + direction * drift * (i + 1) for i in range(draw.randrange(1, 80))]
            strays = track(d, gain, delay, delay, error)
            self.assertLessEqual(max(map(abs, strays[500:])), drift * (delay + 1 / gain) / (1 - abs(error)) + 1e-9)

    def test_under_a_steady_drift_the_bound_is_what_happens(self):
        strays = track([2.0 * j for j in range(600)], 0.22, 2, 2, 0.0)
        self.assertAlmostEqual(strays[-1], 2.0 * (2 + 1 / 0.22), places=6)

    def test_a_wrong_model_leaves_no_offset_and_a_step_is_forgotten_at_the_filters_rate(self):
        strays = track([0.0] * 200 + [57.0] * 400, 0.22, 1, 1, 0.15)
        self.assertAlmostEqual(strays[199], 0, places=6)
        self.assertAlmostEqual(strays[200], 57, places=6)
        self.assertAlmostEqual(strays[-1], 0, places=6)
        exact = track([0.0] * 20 + [57.0] * 100, 0.22, 1, 1, 0.0)
        for i in range(30):
            self.assertAlmostEqual(exact[22 + i], 57 * 0.78 ** (i + 1), places=6)

    def test_noise_of_the_sensor_strays_by_the_filters_share_of_its_variance(self):
        draw, gain = random.Random(2), 0.22
        strays = track([0.0] * 200000, gain, 1, 1, 0.0, noise=lambda: draw.gauss(0, 10))
        variance = sum(s * s for s in strays) / len(strays)
        self.assertAlmostEqual(variance / (100 * gain / (2 - gain)), 1, delta=0.03)

    def test_delays_wrong_by_less_than_the_stated_number_of_ticks_leave_the_loop_stable(self):
        for gain, wrong in itertools.product((0.1, 0.22, 0.5), (1, 2, 3, 6)):
            if wrong * gain * math.pi / 2 >= math.sqrt(1 - gain):
                continue
            for delay, model_delay in ((wrong, 0), (0, wrong), (wrong + 2, 2)):
                strays = track([0.0] * 50 + [57.0] * 1000, gain, delay, model_delay, 0.0)
                self.assertLess(max(map(abs, strays[900:])), 1e-3)


class Heat(unittest.TestCase):
    def test_temperature_over_a_horizon_is_convex_in_what_power_is_convex_in(self):
        def hottest(plan, rho=0.8, resistance=0.05):
            t, peak = 0.0, 0.0
            for x in plan:
                t = rho * t + (1 - rho) * resistance * max(100 * x, 300 * x - 100)  # a convex cost of the decision
                peak = max(peak, t)
            return peak

        draw = random.Random(3)
        for _ in range(500):
            a, b = ([draw.random() for _ in range(12)] for _ in range(2))
            middle = [(x + y) / 2 for x, y in zip(a, b)]
            self.assertLessEqual(hottest(middle), (hottest(a) + hottest(b)) / 2 + 1e-12)

    def test_leakage_frozen_at_the_measured_state_is_wrong_by_little(self):
        plant = json.loads((REPOSITORY / "data/h100/plant.json").read_text(encoding="utf-8"))
        model = json.loads((REPOSITORY / "data/h100/kernel_cost_model.json").read_text(encoding="utf-8"))
        leakage = model["perturbation"]["thermal"]["energy_per_c"]
        gain = leakage * plant["controller_thermal"]["resistance_k_per_w"] * 340  # 470 W less 130 W
        self.assertAlmostEqual(gain, 0.018, places=3)
        self.assertLess(gain, 1)  # one fixed point, found by refreshing the factor


def active(batch, experts=128, k=8):
    """Experts that a batch of independent picks activates."""
    return experts * (1 - (1 - k / experts) ** batch)


class PacingAndPrice(unittest.TestCase):
    """(41) to (43), at one token a second, so that the batch is the period."""

    points = [(p, q) for p in grid(2, 64, 14) for q in grid(0, 1.5, 8)]

    def watts(self, p, q):
        return 3.0 / p + math.exp(-q) * active(p) / p

    def test_watts_are_log_convex_in_period_and_logarithm_of_the_share_kept(self):
        for (p, q), (r, s) in itertools.combinations(self.points, 2):
            middle = math.log(self.watts((p + r) / 2, (q + s) / 2))
            self.assertLessEqual(2 * middle, math.log(self.watts(p, q)) + math.log(self.watts(r, s)) + 1e-12)

    def test_watts_stay_log_convex_where_the_rows_of_a_step_pick_alike(self):
        for alike in (0.0, 0.02, 0.2, 1.0):  # (45), at whole batches
            idle, watts = 1.0, []
            for j in range(64):
                idle *= 1 - 8 / 128 / (1 + alike * j)
                watts.append(math.log((3.0 + 128 * (1 - idle)) / (j + 1)))
            self.assertTrue(all(2 * b <= a + c + 1e-12 for a, b, c in zip(watts, watts[1:], watts[2:])))

    def test_the_measured_energy_of_a_step_is_concave_in_the_batch_and_has_a_constant(self):
        rows = json.loads((REPOSITORY / "data/h100/moe_decode_energy.json").read_text(encoding="utf-8"))
        joules = {(row["B"], row["D"]): row["B"] * row["J_per_token48"] for row in rows["triton_bf16_blockm16"]}
        an_expert = (joules[16, 128] - joules[16, 8]) / 120
        self.assertGreater(joules[16, 8] - 8 * an_expert, 0.1)  # what is left without experts
        a_token = [(joules[64, d] - joules[16, d]) / 48 for d in (32, 64, 128)]
        self.assertTrue(all(0 < slope < joules[16, 82] / 16 / 40 for slope in a_token))  # at equal D: hardly any
        by_batch = [joules[1, 8], joules[16, 82], joules[64, 128]]  # about as many as such batches activate
        self.assertGreater((by_batch[1] - by_batch[0]) / 15, 2 * (by_batch[2] - by_batch[1]) / 48)

    def test_a_step_that_fits_into_its_period_is_a_convex_constraint(self):
        def fits(p, q):  # of a length 2 + 0.3 an expert
            return 2 + 0.3 * math.exp(-q) * active(p) <= p

        both = [point for point in self.points if fits(*point)]
        self.assertTrue(10 < len(both) < len(self.points) - 10)
        for (p, q), (r, s) in itertools.combinations(both, 2):
            self.assertTrue(fits((p + r) / 2, (q + s) / 2))

    def test_without_a_price_of_latency_the_period_is_spent_first_and_with_one_both_are(self):
        def best(latency_price, cap=2.7, longest=48):
            def cost(p):
                if self.watts(p, 0) <= cap:
                    return latency_price * p, p, 0.0
                q = root(lambda z: cap - self.watts(p, z), 0, 20) if 3 / p < cap else math.inf
                return q ** 2 + latency_price * p, p, q  # a quality loss that begins with slope 0

            return min(map(cost, grid(4, longest, 440)))[1:]

        cheap, fair, dear = best(0.0), best(0.01), best(1.0)
        self.assertEqual(best(0.0, cap=2.0)[0], 48)  # the longest period, and then price
        self.assertGreater(best(0.0, cap=2.0)[1], 0)
        self.assertEqual(cheap[1], 0.0)  # pacing alone
        self.assertGreater(fair[1], 0)
        self.assertLess(dear[0], fair[0])
        self.assertGreater(dear[1], fair[1])

    def test_the_measured_loss_is_convex_in_the_logarithm_of_the_share_kept(self):
        frontier = json.loads((REPOSITORY / "docs/results/frontier.json").read_text(encoding="utf-8"))
        for model in frontier["models"].values():
            rows = [row for row in model["policies"]
                    if row["policy"] in ("baseline", "pricing") and row["denominator"] == "picked"]
            points = sorted((-math.log(1 + row["active_percent"] / 100), row["quality_loss_nats"]) for row in rows)
            self.assertGreaterEqual(len(points), 6)
            slopes = [(b[1] - a[1]) / (b[0] - a[0]) for a, b in zip(points, points[1:])]
            self.assertEqual(slopes, sorted(slopes))
            self.assertLess(slopes[0], 0.1 * slopes[-1])  # the first experts dropped are nearly free

    def test_at_an_equal_share_dropped_larger_batches_lose_no_more_on_the_recorded_trace(self):
        tokens = trace_tokens(24 * 16)
        for share in (0.2, 0.35, 0.5):
            losses = [mean_loss(tokens, batch, share) for batch in (2, 4, 8, 16, 32)]
            self.assertEqual(losses, sorted(losses, reverse=True))


def trace_tokens(count):
    """u of (1) of the first tokens of the trace's layer 0."""
    raw = (REPOSITORY / "data/traces/synthetic-e128-k8-b16.safetensors").read_bytes()
    (header,) = struct.unpack("<Q", raw[:8])
    shape = json.loads(raw[8:8 + header])["router_logits"]["shape"]
    _, layers, batch, experts = shape
    rows = []
    for t in range(count):
        first = 8 + header + 2 * experts * ((t // batch * layers) * batch + t % batch)
        logits = [struct.unpack("<f", b"\0\0" + raw[i:i + 2])[0] for i in range(first, first + 2 * experts, 2)]
        p = [math.exp(z - max(logits)) for z in logits]
        mass = sum(sorted(p, reverse=True)[:8])
        rows.append([x / mass for x in p])
    return rows


def mean_loss(tokens, batch, share, k=8):
    """Q of (R5) when the rule that runs drops a share of the active experts, k_min = 1, mean over batches."""
    total, batches = 0.0, len(tokens) // batch
    for rows in (tokens[i * batch:(i + 1) * batch] for i in range(batches)):
        picks = [sorted(range(len(u)), key=lambda e: (-u[e], e))[:k] for u in rows]
        union = set().union(*picks)
        loss = dict.fromkeys(union, 0.0)
        for u, own in zip(rows, picks):
            following = max((u[e] for e in union if e not in own), default=0.0)
            for e in own:
                loss[e] += u[e] - following
        first = {own[0] for own in picks}
        order = sorted(union, key=lambda e: (e not in first, -loss[e], e))
        stay = order[:max(len(first), round(len(union) * (1 - share)))]
        total += sum(-math.log(min(1, sum(sorted((u[e] for e in stay), reverse=True)[:k]))) for u in rows) / batch
    return total / batches


if __name__ == "__main__":
    unittest.main()
