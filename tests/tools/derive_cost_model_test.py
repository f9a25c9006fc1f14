# SPDX-License-Identifier: Apache-2.0
"""The shipped cost models are what the script derives, and the script names what it lacks."""
import contextlib
import importlib.util
import io
import json
import shutil
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data" / "h100"

spec = importlib.util.spec_from_file_location("derive_cost_model", ROOT / "tools" / "derive_cost_model.py")
derive = importlib.util.module_from_spec(spec)
spec.loader.exec_module(derive)


def run(*arguments):
    """Exit code and what was printed to stderr."""
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
        code = derive.main([str(a) for a in arguments])
    return code, errors.getvalue()


def expert_rows(model, dtype, tokens):
    entry = next(e for e in model["entries"] if e["op"] == "moe_experts" and e["dtype"] == dtype)
    return {r["active_experts"]: r for r in entry["rows"] if r["tokens"] == tokens}


class DeriveCostModel(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def copy_data(self):
        for file in DATA.glob("*.*"):
            shutil.copy(file, self.folder)

    def test_the_shipped_files_are_what_the_script_writes(self):
        self.assertEqual(run("--check"), (0, ""))

    def test_check_notices_a_changed_file(self):
        self.copy_data()
        path = self.folder / "kernel_cost_model.json"
        path.write_text(path.read_text().replace('"idle_active_w": 130.0', '"idle_active_w": 131.0'))
        code, message = run("--check", "--data", self.folder)
        self.assertEqual(code, 1)
        self.assertIn("kernel_cost_model.json", message)

    def test_the_plant_reproduces_the_watts_of_the_fixed_rate_runs(self):
        model = derive.plant_model(DATA)
        rows = expert_rows(model, "bf16", 16)
        runs = json.loads((DATA / "moe_decode_energy.json").read_text())["open_loop_fixed_rate"]
        for measured in (r for r in runs if r["period_ms"] > 0):
            joules = 48e-6 * rows[measured["D"]]["energy_uj"]
            watts = model["idle_active_w"] + joules * measured["steps_s"]
            self.assertAlmostEqual(watts, measured["W"], delta=1.0)

    def test_controller_and_plant_differ_by_a_few_percent(self):
        table = sorted((d, r["energy_uj"]) for d, r in
                       expert_rows(derive.controller_model(DATA), "bf16", 16).items())
        for active, row in expert_rows(derive.plant_model(DATA), "bf16", 16).items():
            ratio = derive.interpolate(table, active) / row["energy_uj"]
            self.assertTrue(1.02 < ratio < 1.15, f"D={active}: {ratio}")

    def test_energies_that_nobody_measured_stay_absent(self):
        model = derive.controller_model(DATA)
        for entry in model["entries"]:
            if entry["op"] in ("topk_route", "dequant_unpack"):
                self.assertFalse(any("energy_uj" in r for r in entry["rows"]))
            self.assertEqual(entry["source"], "derived")

    def test_without_a_thermal_fit_the_models_carry_none_and_a_note_says_so(self):
        self.copy_data()
        (self.folder / "plant.json").unlink(missing_ok=True)
        code, message = run("--data", self.folder)
        self.assertEqual(code, 0)
        self.assertIn("no controller_thermal", message)
        self.assertNotIn("thermal", json.loads((self.folder / "plant_cost_model.json").read_text()))

    def test_a_thermal_fit_is_copied(self):
        self.copy_data()
        fit = {"ambient_c": 30.5, "resistance_k_per_w": 0.06, "time_constant_s": 7.0}
        (self.folder / "plant.json").write_text(json.dumps({"controller_thermal": fit}))
        self.assertEqual(run("--data", self.folder)[0], 0)
        written = json.loads((self.folder / "kernel_cost_model.json").read_text())["thermal"]
        self.assertEqual({name: written[name] for name in fit}, fit)

    def test_missing_measurements_are_named(self):
        code, message = run("--data", self.folder)
        self.assertEqual(code, 2)
        self.assertIn(str(self.folder), message)
        self.assertIn("does not exist", message)

    def test_broken_measurements_are_named(self):
        self.copy_data()
        (self.folder / "kernel_peers.json").write_text('{"rows": [')
        code, message = run("--data", self.folder)
        self.assertEqual(code, 2)
        self.assertIn("kernel_peers.json: not valid JSON", message)


if __name__ == "__main__":
    unittest.main()
