# SPDX-License-Identifier: Apache-2.0
"""vllm_cost_model.json is what the fit makes of the steering runs, and says their steps again."""
import contextlib
import importlib
import io
import json
import shutil
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data" / "h100"

sys.path.insert(0, str(ROOT / "tools"))
fit = importlib.import_module("fit_vllm_costs")


def run(*arguments):
    """Exit code and what was printed to stderr."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = fit.main([str(a) for a in arguments])
    return code, errors.getvalue()


class FitVllmCosts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        for file in DATA.glob("*.*"):
            shutil.copy(file, self.folder)

    def test_the_shipped_file_is_what_the_script_writes(self):
        self.assertEqual(run("--check"), (0, ""))

    def test_a_changed_measurement_is_noticed(self):
        path = self.folder / "vllm_steering.json"
        steering = json.loads(path.read_text())
        steering["allowed_experts"]["24"]["ms_step"] += 0.1
        path.write_text(json.dumps(steering))
        code, message = run("--check", "--data", self.folder)
        self.assertEqual(code, 1)
        self.assertIn("vllm_cost_model.json", message)

    def test_the_arrivals_are_not_read(self):
        (self.folder / "vllm_arrivals.json").unlink()
        self.assertEqual(run("--check", "--data", self.folder), (0, ""))

    def test_the_costs_say_the_steering_runs_again(self):
        model = json.loads((DATA / "vllm_cost_model.json").read_text())
        steering = json.loads((DATA / "vllm_steering.json").read_text())
        rows = model["entries"][0]["rows"]
        other = next(r for r in model["other"][0]["rows"] if r["batch"] == 16)
        leak = model["perturbation"]["thermal"]
        slope_w = leak["energy_per_c"] * (steering["stock"]["W"] - model["idle_active_w"])
        for measured in fit.runs_of(steering):
            active = measured["seen"]["D"]

            def at(key, active=active):
                first, last = rows[0], rows[-1]
                share = (active - first["active_experts"]) / (last["active_experts"] - first["active_experts"])
                return 48e-6 * (first[key] + share * (last[key] - first[key])) + 1e-6 * other[key]
            seconds, joules = at("latency_us"), at("energy_uj")
            idle = model["idle_active_w"] + slope_w * (measured["c"] - leak["reference_c"])
            self.assertAlmostEqual(1e3 * seconds / measured["ms_step"], 1.0, delta=0.01)
            self.assertAlmostEqual((idle + joules / seconds) / measured["W"], 1.0, delta=0.015)

    def test_without_the_measurement_it_is_named(self):
        (self.folder / "vllm_steering.json").unlink()
        code, message = run("--data", self.folder)
        self.assertEqual(code, 2)
        self.assertIn("vllm_steering.json", message)


if __name__ == "__main__":
    unittest.main()
