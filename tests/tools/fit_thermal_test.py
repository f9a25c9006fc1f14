# SPDX-License-Identifier: Apache-2.0
"""Tests of tools/thermal_fit.py and tools/fit_thermal_model.py on synthetic data."""

import json
import math
import os
import random
import sys
import unittest

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.path.insert(0, os.path.join(ROOT, "tools"))
import fit_thermal_model as model  # noqa: E402
import thermal_fit as fit  # noqa: E402

TIMES = [0.05 * i for i in range(1200)]


def steps(levels, seconds):
    return [levels[min(int(t / seconds), len(levels) - 1)] for t in TIMES]


def synthetic(drives, resistances, taus, ambient, initial):
    return fit.Fit(ambient, taus, resistances, initial).predict(TIMES, drives)


class ThermalFit(unittest.TestCase):
    def test_step_response_is_the_exact_exponential(self):
        drive = [100.0] * len(TIMES)
        response = fit.first_order(TIMES, drive, 5.0)
        for t, x in zip(TIMES, response):
            self.assertAlmostEqual(x, 100.0 * (1.0 - math.exp(-t / 5.0)), places=9)

    def test_known_poles_are_found_again_through_quantisation_and_noise(self):
        rng = random.Random(7)
        power = steps([130.0, 600.0, 130.0, 400.0, 250.0], 12.0)
        truth = synthetic([power], [[0.02, 0.03]], [0.3, 9.0], 35.0, [2.0, 6.0])
        measured = [round(t + rng.gauss(0.0, 0.1)) * 1.0 for t in truth]
        found = fit.fit_poles(TIMES, measured, [power], [0.1, 20.0])
        self.assertAlmostEqual(found.ambient, 35.0, delta=0.7)
        self.assertAlmostEqual(found.steady_resistance(0), 0.05, delta=0.0025)
        self.assertAlmostEqual(found.taus[1], 9.0, delta=1.0)
        self.assertLess(fit.rmse(found.predict(TIMES, [power]), measured), 0.35)

    def test_two_heat_inputs_are_told_apart(self):
        compute = steps([100.0, 500.0, 100.0, 100.0, 100.0], 12.0)
        memory = steps([0.0, 0.0, 0.0, 300.0, 0.0], 12.0)
        truth = synthetic([compute, memory], [[0.05], [0.01]], [4.0], 30.0, [0.0])
        found = fit.fit_poles(TIMES, truth, [compute, memory], [1.0])
        self.assertAlmostEqual(found.resistances[0][0], 0.05, places=4)
        self.assertAlmostEqual(found.resistances[1][0], 0.01, places=4)
        self.assertAlmostEqual(found.taus[0], 4.0, places=1)

    def test_resistances_are_never_negative(self):
        power = steps([100.0, 500.0], 30.0)
        falling = [60.0 - 0.02 * p for p in power]  # no heat can do this
        found = fit.fit_poles(TIMES, falling, [power], [1.0, 10.0])
        self.assertTrue(all(r >= 0.0 for r in found.resistances[0]))

    def test_folding_idle_into_the_ambient_keeps_the_steady_temperature(self):
        found = fit.Fit(30.0, [5.0], [[0.05], [0.02]], [0.0])
        block = model.folded(found, 1, 100.0)
        pole = block["poles"][0]["r_k_per_w"]
        direct = 30.0 + 0.05 * 100.0 + 0.02 * 250.0  # idle heats by drive 0, the rest by drive 1
        self.assertAlmostEqual(block["ambient_c"] + pole * 350.0, direct, places=6)


class FitThermalModel(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        data = os.path.join(ROOT, "data", "h100")
        cls.committed = model.read_json(os.path.join(data, "plant.json"))
        cls.built = json.loads(json.dumps(model.build_plant(
            model.read_trace(os.path.join(data, "thermal_trace.csv")),
            model.read_json(os.path.join(data, "moe_decode_energy.json")),
            model.read_json(os.path.join(data, "router_and_nvml.json")))))

    def assert_close(self, a, b, where):
        self.assertIs(type(a), type(b), where)
        if isinstance(a, dict):
            self.assertEqual(a.keys(), b.keys(), where)
            for key in a:
                self.assert_close(a[key], b[key], f"{where}/{key}")
        elif isinstance(a, list):
            self.assertEqual(len(a), len(b), where)
            for i, (x, y) in enumerate(zip(a, b)):
                self.assert_close(x, y, f"{where}/{i}")
        elif isinstance(a, float):
            self.assertTrue(math.isclose(a, b, rel_tol=0.02, abs_tol=1e-3), f"{where}: {a} {b}")
        else:
            self.assertEqual(a, b, where)

    def test_the_committed_plant_is_what_the_script_writes(self):
        self.assert_close(self.built, self.committed, "")

    def test_the_fit_predicts_what_it_did_not_see(self):
        thermal = self.committed["thermal"]
        self.assertLess(thermal["fit"]["held_out_rmse_c"], 0.6)
        self.assertLess(thermal["memory"]["fit"]["held_out_rmse_c"], 0.8)
        self.assertLess(self.committed["checks"]["open_loop"]["rmse_c"], 1.0)

    def test_every_number_has_a_provenance(self):
        prefixes = tuple(self.committed["provenance"])
        for key, value in self.committed.items():
            if isinstance(value, (int, float)) and key != "schema":
                self.assertIn(key, prefixes)
        for key in self.committed["sensor"]:
            if key != "bounds":
                self.assertIn(f"sensor.{key}", prefixes)


if __name__ == "__main__":
    unittest.main()
