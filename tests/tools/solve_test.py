# SPDX-License-Identifier: Apache-2.0
"""thermoe solve: what it prints is the optimum that Clarabel finds, and what it refuses.

THERMOE names the program (default: build/cpu-release/src/cli/thermoe). Clarabel is `pip install clarabel scipy`; without
it that one test skips.
"""

import importlib.util
import json
import math
import os
import pathlib
import random
import struct
import subprocess
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
THERMOE = pathlib.Path(os.environ.get("THERMOE", ROOT / "build/cpu-release/src/cli/thermoe"))
COSTS = ROOT / "data/h100/kernel_cost_model.json"
spec = importlib.util.spec_from_file_location("clarabel_instances", ROOT / "tools" / "clarabel_instances.py")
script = importlib.util.module_from_spec(spec)
spec.loader.exec_module(script)

EXPERTS, K, TOKENS, TAU = 128, 8, 6, 0.02
MIXED = ["--dtype", "bf16", "--other-dtype", "int4", "--other-from", "64", "--tau", str(TAU)]


def write_logits(path, values):
    header = {
        "__metadata__": {"k": str(K), "score_function": "softmax"},
        "router_logits": {"dtype": "F32", "shape": [1, 1, TOKENS, EXPERTS], "data_offsets": [0, 4 * len(values)]},
    }
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + struct.pack(f"<{len(values)}f", *values))


def shares(row):
    p = [math.exp(x) for x in row]
    return [x / sum(sorted(p)[-K:]) for x in p]


@unittest.skipIf(not THERMOE.exists(), f"{THERMOE} is not built")
class Solve(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.logits = pathlib.Path(folder.name) / "logits.safetensors"

    def run_solve(self, *arguments):
        return subprocess.run(
            [THERMOE, "solve", "--logits", self.logits, "--costs", COSTS, *arguments], capture_output=True, text=True
        )

    def solved(self, *arguments):
        result = self.run_solve(*arguments)
        self.assertEqual(result.returncode, 0, result.stderr)
        return json.loads(result.stdout)

    def random_logits(self, seed):
        source = random.Random(seed)
        values = [struct.unpack("f", struct.pack("f", source.gauss(0, 1.5)))[0] for _ in range(TOKENS * EXPERTS)]
        write_logits(self.logits, values)
        return [shares(values[t * EXPERTS : (t + 1) * EXPERTS]) for t in range(TOKENS)]

    @unittest.skipIf(script.missing(), script.missing())
    def test_agrees_with_clarabel(self):
        for seed in range(3):
            u = sum(self.random_logits(seed), [])
            rate = ["--tokens-per-second", "20000"]
            plain = self.solved(*MIXED, *rate, "--power-cap", "5000")
            # Halfway between plain routing and the least joules that it could take.
            least = self.solved(*MIXED, *rate, "--power-cap", "131")["caps"][0]["nearest"]
            joules = (plain["caps"][0]["nearest"] + least) / 2
            cap = 130 + joules / (TOKENS / 20000)
            ours = self.solved(*MIXED, *rate, "--power-cap", f"{cap:.9f}", "--gap", "2e-7")
            self.assertTrue(ours["feasible"] and ours["converged"])
            # Affine costs: a price is lambda times a slope; the constant is what the loads leave.
            energy = ours["caps"][0]
            slope = [b / energy["price"] for b in ours["prices"][0]]
            constant = energy["nearest"] - sum(a * b for a, b in zip(slope, ours["loads"][0]))
            unit = max(slope)
            problem = {
                "layers": 1, "tokens": TOKENS, "experts": EXPERTS, "k": K, "tau": TAU,
                "scores": [script.SCORES_PER_UNIT * x for x in u],
                "resources": [{
                    "cap": energy["cap"] / unit, "constant": constant / unit, "price_ceiling": 4 * energy["price"] * unit,
                    "curves": [{"corner": [0.0], "value": [0.0], "slope": [s / unit]} for s in slope],
                    "curve_of": list(range(EXPERTS)), "device_of": [],
                }],
            }
            value, load = script.solve(problem)
            self.assertAlmostEqual(ours["primal"], value / TOKENS, delta=1e-6)
            self.assertAlmostEqual(ours["dual"], value / TOKENS, delta=1e-6)
            self.assertLess(max(abs(a - b) for a, b in zip(load, ours["loads"][0])), 1e-2)

    def test_a_cap_that_holds_anyway_prices_nothing(self):
        self.random_logits(1)
        ours = self.solved(*MIXED, "--power-cap", "5000")
        self.assertEqual(set(ours["prices"][0]), {0.0})
        self.assertEqual((ours["gap"], ours["rounded"]["step_ms"]), (0.0, ours["baseline"]["step_ms"]))

    def test_a_cap_out_of_reach_is_said_with_the_nearest(self):
        self.random_logits(1)
        rate = [*MIXED, "--tokens-per-second", "20000"]
        ours = self.solved(*rate, "--power-cap", "131")
        self.assertFalse(ours["feasible"])
        self.assertGreater(ours["caps"][0]["nearest"], ours["caps"][0]["cap"])
        nearest = ours["nearest_feasible"]["power_w"]
        self.assertEqual(nearest, ours["predicted"]["devices"][0]["power_w"])
        self.assertTrue(self.solved(*rate, "--power-cap", str(nearest + 0.1))["feasible"])
        self.assertFalse(self.solved(*rate, "--power-cap", str(nearest - 0.1))["feasible"])

    def test_several_caps_on_devices_are_held_together(self):
        self.random_logits(2)
        mixed = ["--dtype", "bf16", "--other-dtype", "int4", "--other-from", "32", "--tau", str(TAU), "--devices", "4"]
        mixed += ["--tokens-per-second", "20000"]
        plain = self.solved(*mixed, "--power-cap", "5000", "--step-cap", "1000")["predicted"]
        watts = [d["power_w"] for d in plain["devices"]]
        self.assertEqual(len(watts), 4)
        power, step = max(watts) - 0.02, plain["step_ms"] * 0.999
        ours = self.solved(*mixed, "--power-cap", str(power), "--temperature-cap", "90", "--step-cap", str(step))
        self.assertTrue(ours["feasible"] and ours["converged"])
        self.assertLessEqual(ours["predicted"]["step_ms"], step * (1 + 1e-9))
        for device in ours["predicted"]["devices"]:
            self.assertLessEqual(device["power_w"], power * (1 + 1e-9))
            self.assertLessEqual(device["temperature_c"], 90)

    def test_the_result_has_the_same_bits_for_any_number_of_threads(self):
        self.random_logits(3)
        rate = [*MIXED, "--tokens-per-second", "20000", "--power-cap", "150"]
        self.assertEqual(self.solved(*rate), self.solved(*rate, "--threads", "3"))

    def test_refuses_with_the_reason(self):
        self.random_logits(1)
        for arguments, word in (
            (["--power-cap", "100"], "give more than that"),
            (["--temperature-cap", "20"], "give more than that"),
            (["--k", "129"], "does not lie in 1..128"),
            (["--power-cap", "300", "--tokens-per-second", "0"], "token rate"),
            (["--devices", "3"], "--devices 3"),
            (["--dtype", "fp9"], "has no moe_experts"),
        ):
            result = self.run_solve(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn(word, result.stderr)
        write_logits(self.logits, [math.nan] * (TOKENS * EXPERTS))
        result = self.run_solve("--power-cap", "300")
        self.assertEqual(result.returncode, 2)
        self.assertIn("is nan at expert 0; logits are finite", result.stderr)


if __name__ == "__main__":
    unittest.main()
