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
        ours = self.solved(*MIXED, "--tokens-per-second", "20000", "--power-cap", "131")
        self.assertFalse(ours["feasible"])
        self.assertGreater(ours["caps"][0]["nearest"], ours["caps"][0]["cap"])

    def test_refuses_with_the_reason(self):
        self.random_logits(1)
        for arguments, word in (
            (["--power-cap", "100"], "without any work"),
            (["--temperature-cap", "20"], "without any work"),
            (["--k", "129"], "128"),
            (["--power-cap", "300", "--tokens-per-second", "0"], "token rate"),
            (["--devices", "3"], "--devices 3"),
        ):
            result = self.run_solve(*arguments)
            self.assertEqual(result.returncode, 2, arguments)
            self.assertIn(word, result.stderr)
        write_logits(self.logits, [math.nan] * (TOKENS * EXPERTS))
        result = self.run_solve("--power-cap", "300")
        self.assertNotEqual(result.returncode, 0)
        self.assertIn("nan", result.stderr.lower())


if __name__ == "__main__":
    unittest.main()
