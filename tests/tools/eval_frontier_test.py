#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The tables of docs/model.md are what the joined file says, and models are run one by one."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "eval_frontier.py"


def row(policy, cut, **changes):
    values = {"denominator": "picked", "policy": policy, "cut_percent": cut, "knob": 4.0, "reached": True,
              "bits_per_byte": 1.25, "loss_percent": 0.5, "loss_interval": [0.25, 0.75], "mean_active": 40.0,
              "active_percent": -50.0, "kept_mass": 0.96, "quality_loss_nats": 0.0412}
    return {**values, **changes}


ROUTING = {
    "batches": 3, "rows": 16, "length": 512, "bytes": 20000, "bytes_of_all_text": 20000, "documents": 9,
    "policies": [row("baseline", None, loss_interval=None), row("pricing", 50.0),
                 row("reduced k", 65.0, reached=False), row("reduced k", None)],
    "comparisons": [{"cut_percent": 50.0, "denominator": "picked", "policy": "pricing", "against_denominator": "picked",
                     "against_policy": "OPPORTUNISTIC", "difference_points": -0.25,
                     "difference_interval": [-0.375, -0.125], "ratio": None, "ratio_interval": None}],
    "expert_load_max_over_mean": [1.5, 2.0],
}
# Writes what it was called with, as `thermoe eval` would write its figures.
FAKE = f"""#!{sys.executable}
import json, sys
words = sys.argv[1:]
out = words[words.index("--out") + 1]
routing = json.loads({json.dumps(json.dumps(ROUTING))})
routing["words"] = words
json.dump({{"routing": routing}}, open(out, "w"))
"""


class EvalFrontierTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.path = pathlib.Path(self.folder.name)

    def run_tool(self, *words):
        return subprocess.run([sys.executable, TOOL, *map(str, words)], capture_output=True, text=True, check=False)

    def test_the_tables_say_what_the_file_says(self):
        joined = self.path / "joined.json"
        joined.write_text(json.dumps({"schema": 1, "models": {"elastic": ROUTING}}))
        made = self.run_tool("--markdown", joined)
        self.assertEqual(made.returncode, 0, made.stderr)
        self.assertIn("20,000 of 20,000 bytes of 9 documents", made.stdout)
        self.assertIn("| −50 % | 40.0 | +0.50 % [+0.25, +0.75] | – | -0.25 [-0.38, -0.12]; – (picked) |", made.stdout)
        self.assertIn("| picked | pricing, D −50 % | 40.0 | -50.0 % | 1.2500 | +0.50 % | +0.25..+0.75 | 0.9600 | 0.0412 |",
                      made.stdout)
        self.assertIn("reduced k, D −65 % (not reached)", made.stdout)
        self.assertIn("reduced k, k = 4 |", made.stdout)
        self.assertIn("| −50 % | pricing, picked | OPPORTUNISTIC, picked | -0.250 | -0.375..-0.125 | – | – |", made.stdout)

    def test_every_model_is_scored_and_the_command_is_kept(self):
        fake = self.path / "thermoe"
        fake.write_text(FAKE)
        fake.chmod(0o755)
        out = self.path / "joined.json"
        made = self.run_tool("--model", "a=x.safetensors", "--model", "b=y.safetensors", "--out", out, "--thermoe", fake,
                             "--", "--batches", "2")
        self.assertEqual(made.returncode, 0, made.stderr)
        document = json.loads(out.read_text())
        self.assertEqual(list(document["models"]), ["a", "b"])
        self.assertIn("y.safetensors", document["models"]["b"]["words"])
        self.assertEqual(document["evaluation"], ["--batches", "2"])
        self.assertIn("--model a=x.safetensors", document["command"])

    def test_half_a_call_is_refused(self):
        self.assertEqual(self.run_tool("--model", "a=x").returncode, 2)
        self.assertEqual(self.run_tool("--model", "x", "--out", "y").returncode, 2)


if __name__ == "__main__":
    unittest.main()
