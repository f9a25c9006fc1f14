#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""tools/cost_model_results.py on made-up records: held-out points are in no table and no fit, and errors are what they should be.

THERMOE names the program (default: build/cpu-release/src/cli/thermoe).
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "cost_model_results.py"
THERMOE = pathlib.Path(os.environ.get("THERMOE", ROOT / "build/cpu-release/src/cli/thermoe"))
sys.path.insert(0, str(ROOT / "tools"))
import gpu_steps  # noqa: E402

HEAD = {"kind": "profile", "format": 1, "backend": "cuda", "device": "A made-up GPU", "driver": "1", "seed": 1}
TOKENS, ACTIVE, WINDOW_S, IDLE_W = (8, 16, 24, 32, 384), (1, 2, 4, 8, 12, 16), 5.0, 120.0
HELD_OUT = 2 * (2 * 6 + 3)  # of two dtypes: all of 24 and 384 tokens, and D = 12 of the others


def name_of(dtype, tokens, active):
    group = " group 32" if dtype == "int4" else ""
    return f"moe_experts [16, 2, 64, 32] {dtype}{group} tokens {tokens} active {active}"


POINTS = [(d, t, a) for d in ("bf16", "int4") for t in TOKENS for a in ACTIVE]


def latency_ns(_, tokens, active):
    """Linear, so that interpolation makes no error."""
    return 10_000 + 1000 * active + 50 * tokens


def energy_uj(_, tokens, active):
    return 1000 + 100 * active + 10 * tokens


def time_line(point, ns, kind="time"):
    return {"kind": kind, "point": name_of(*point), "part": "expert_layer", "source": "cupti", "kernels": [],
            "spans_ns": [round(ns * share) for share in (0.98, 0.99, 1.0, 1.01, 1.02)], "temperature_c": 40.0, "sm_mhz": 1980.0}


def energy_line(point, microjoules):
    executions = 100_000
    return {"kind": "energy", "point": name_of(*point), "turn": 0, "window_s": WINDOW_S, "executions": executions,
            "gross_j": IDLE_W * WINDOW_S + 1e-6 * microjoules * executions, "idle_w": IDLE_W, "idle_change": 0.01}


def is_held_out(point):
    return point[1] in (24, 384) or point[2] == 12


@unittest.skipIf(not THERMOE.exists(), f"{THERMOE} is not built")
class CostModelResults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out, self.costs = self.folder / "results/model", self.folder / "costs/a.json"

    def profile(self, latency=latency_ns, energy=energy_uj, with_energy=lambda point: True, more=(), name="profile", head=HEAD,
                machine=None, tail=""):
        """A made-up profile folder."""
        folder = self.folder / name
        folder.mkdir()
        lines = [head, *(time_line(p, latency(*p)) for p in POINTS),
                 *(energy_line(p, energy(*p)) for p in POINTS if with_energy(p)), *more]
        (folder / "records.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
        if machine:
            (folder / "measured.json").write_text(json.dumps(machine))
        return folder

    def run_tool(self, *arguments):
        return subprocess.run([sys.executable, TOOL, "--thermoe", THERMOE, "--out", self.out, *map(str, arguments)],
                              capture_output=True, text=True, check=False)

    def made(self, *arguments):
        done = self.run_tool(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(self.out.with_suffix(".json").read_text()), self.out.with_suffix(".md").read_text()

    def refused(self, *arguments):
        done = self.run_tool(*arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertFalse(self.out.with_suffix(".json").exists())
        return done.stderr

    @staticmethod
    def target(result, words):
        return next(t for t in result["targets"] if t["asked"].startswith(words))

    def test_in_a_linear_world_held_out_points_are_predicted_and_in_no_table(self):
        result, page = self.made(self.profile(), "--costs", self.costs)
        self.assertEqual(len(result["points"]), HELD_OUT)
        for point in result["points"]:
            self.assertAlmostEqual(point["latency_error"], 0, places=3, msg=point["point"])
            self.assertAlmostEqual(point["energy_error"], 0, places=6, msg=point["point"])
            self.assertEqual(point["basis"], "extrapolated" if point["tokens"] == 384 else "interpolated", point["point"])
        for quantity in ("latency", "energy"):
            for figure in ("median", "p95"):
                self.assertIs(self.target(result, f"expert layers, {quantity}: {figure}")["met"], True)
        model = json.loads(self.costs.read_text())
        rows = [(e["dtype"], int(r["tokens"]), int(r["active_experts"])) for e in model["entries"] for r in e["rows"]]
        self.assertEqual(sorted(rows), sorted(p for p in POINTS if not is_held_out(p)))
        self.assertAlmostEqual(model["idle_active_w"], IDLE_W)
        shown = subprocess.run([THERMOE, "cost", "check", self.costs], capture_output=True, text=True, check=False)
        self.assertEqual(shown.returncode, 0, shown.stderr)
        self.assertIn("batches of 24 or 384 tokens and layers with 12 or 80 active experts", page)
        self.assertIn("timed by CUPTI", page)
        for plot in ("model-16x2x64x32.svg", "model-errors.svg"):
            self.assertIn(f"({plot})", page)
            self.assertTrue((self.out.parent / plot).read_text().startswith("<svg"))

    def test_the_shipped_cost_model_is_made_of_the_shipped_records(self):
        records, shipped = ROOT / "data/h100/profile", ROOT / "costs/h100-80gb-hbm3.json"
        self.made(records, "--costs", self.costs)
        done = subprocess.run([THERMOE, "cost", "fit-step", records / "steps.csv", "--cost-model", self.costs, "--out", self.costs,
                               "--model", "Qwen3-30B-A3B", "--engine", "thermoe load proxy"], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertAlike(json.loads(self.costs.read_text()), json.loads(shipped.read_text()), "")

    def assertAlike(self, made, shipped, key):
        """The same but for the last digits of figures, which are the processor's."""
        if isinstance(made, dict):
            self.assertEqual(list(made), list(shipped), key)
            for name, value in made.items():
                self.assertAlike(value, shipped[name], f"{key}/{name}")
        elif isinstance(made, list):
            self.assertEqual(len(made), len(shipped), key)
            for place, value in enumerate(made):
                self.assertAlike(value, shipped[place], f"{key}/{place}")
        elif isinstance(made, float):
            self.assertAlmostEqual(made, shipped, delta=1e-6 * abs(shipped) + 1e-9, msg=key)
        elif not key.endswith("/method"):
            self.assertEqual(made, shipped, key)

    def test_a_bend_at_held_out_points_is_an_error_of_that_size_and_a_target_missed(self):
        result, page = self.made(self.profile(
            latency=lambda *p: latency_ns(*p) * (1.25 if p[2] == 12 or p[1] == 24 else 1),
            energy=lambda *p: energy_uj(*p) * (0.8 if p[2] == 12 or p[1] == 24 else 1)))
        for point in result["points"]:
            if point["basis"] == "interpolated":
                self.assertAlmostEqual(point["latency_error"], 1 / 1.25 - 1, places=3)
                self.assertAlmostEqual(point["energy_error"], 1 / 0.8 - 1, places=6)
        for quantity, error in (("latency", 0.2), ("energy", 0.25)):
            target = self.target(result, f"expert layers, {quantity}: median")
            self.assertAlmostEqual(target["value"], error, places=3)
            self.assertIs(target["met"], False)
        self.assertIn("| 25.00 % | 18 | **missed** |", page)

    def test_median_and_p95_are_judged_apart(self):
        result, _ = self.made(self.profile(latency=lambda *p: latency_ns(*p) * (1.25 if p[1:] == (24, 16) else 1)))
        self.assertIs(self.target(result, "expert layers, latency: median")["met"], True)
        self.assertIs(self.target(result, "expert layers, latency: p95")["met"], False)
        self.assertEqual([(s["slice"], s["latency"]["points"], s["latency"]["largest"] > 0.1) for s in result["slices"]],
                         [("24 tokens", 12, True), ("12 active experts", 8, False)])

    def test_extrapolation_is_reported_apart_and_judged_nowhere(self):
        result, page = self.made(self.profile(latency=lambda *p: latency_ns(*p) * (2 if p[1] == 384 else 1)))
        self.assertIs(self.target(result, "expert layers, latency: p95")["met"], True)
        beyond = next(s for s in result["summary"] if s["basis"] == "extrapolated" and s["dtype"] == "bf16")
        self.assertAlmostEqual(beyond["latency"]["median"], 0.5, places=3)
        self.assertIn("## Extrapolation", page)

    def test_held_out_measurements_change_nothing_in_the_cost_model(self):
        def some(point):  # enough to fit the others, and all that is held out
            return is_held_out(point) or point[1] != 16

        self.made(self.profile(with_energy=some), "--costs", self.costs)
        first = self.costs.read_text()
        self.assertIn("others fitted", first)
        self.made(self.profile(latency=lambda *p: latency_ns(*p) * (3 if is_held_out(p) else 1),
                               energy=lambda *p: energy_uj(*p) * (5 if is_held_out(p) else 1), with_energy=some, name="other"),
                  "--costs", self.costs)
        self.assertEqual(self.costs.read_text(), first)

    def test_a_held_out_point_without_a_window_of_its_own_has_no_energy_to_compare(self):
        # There are enough others to fit its energy, which is not to be held against.
        result, _ = self.made(self.profile(with_energy=lambda p: not is_held_out(p) or p[1] in (24, 384)))
        compared = [p for p in result["points"] if p["energy_error"] is not None]
        self.assertEqual({p["tokens"] for p in compared}, {24, 384})
        self.assertEqual(len(compared), 2 * 12)
        self.assertEqual(self.target(result, "expert layers, energy: p95")["points"], 2 * 6)

    def test_without_energies_times_are_compared_and_no_cost_model_is_made(self):
        folder = self.profile(with_energy=lambda p: False)
        self.assertIn("no energy was measured", self.refused(folder, "--costs", self.costs))
        result, page = self.made(folder)
        self.assertEqual((result["cost_model"], len(result["points"])), (None, HELD_OUT))
        self.assertIs(self.target(result, "expert layers, latency: p95")["met"], True)
        self.assertIsNone(self.target(result, "expert layers, energy: p95")["met"])
        self.assertIn("**No energy was measured**", page)
        self.assertIn("not measured", page)

    def test_a_repeat_is_held_against_the_spread_of_the_first(self):
        near, far = ("bf16", 8, 2), ("bf16", 8, 4)
        more = [time_line(near, 1.01 * latency_ns(*near), "repeat"), time_line(far, 1.03 * latency_ns(*far), "repeat")]
        result, page = self.made(self.profile(more=more))
        self.assertEqual([(r["point"], r["within"]) for r in result["repeats"]], [(name_of(*near), True), (name_of(*far), False)])
        self.assertAlmostEqual(result["repeats"][0]["spread"], 0.016, places=4)  # (p90 - p10) / (2 median)
        target = self.target(result, "repeated points")
        self.assertEqual((target["value"], target["points"], target["met"]), (0.5, 2, False))
        self.assertIn("**beyond**", page)

    def test_folders_of_a_card_are_joined_and_of_two_refused(self):
        mine = {"card": "abc", "commits": ["c1"]}
        first = self.profile(with_energy=lambda p: False, machine=mine)
        second = self.profile(machine={"card": "abc", "commits": ["c2"]}, latency=lambda *p: 7 * latency_ns(*p), name="second")
        result, page = self.made(first, second)
        self.assertEqual((result["card"], result["commits"], result["met_again"]), ("abc", ["c1", "c2"], len(POINTS)))
        self.assertIs(self.target(result, "expert layers, energy: p95")["met"], True)
        self.assertAlmostEqual(max(p["latency_us"] for p in result["points"]), latency_ns("", 384, 16) / 1000)  # the first's
        self.assertIn("card abc (a hash), commit c1, c2", page)
        self.out = self.folder / "results/other"
        other = self.profile(machine={"card": "def"}, name="third")
        self.assertIn("different cards (abc, def)", self.refused(first, other))
        alien = self.profile(head={**HEAD, "device": "Another"}, name="fourth")
        self.assertIn("is of the device Another", self.refused(first, alien))

    def test_what_people_wrote_stays(self):
        folder = self.profile()
        self.made(folder)
        page = self.out.with_suffix(".md")
        page.write_text(page.read_text() + "Mind the bend.\n")
        self.assertTrue(self.made(folder)[1].endswith("<!-- written by hand -->\nMind the bend.\n"))

    def test_a_torn_last_line_is_none_and_a_bad_one_is_named(self):
        self.made(self.profile(tail='{"kind": "time", "poi'))
        self.out = self.folder / "results/other"
        self.assertIn("records.jsonl:122: is no JSON", self.refused(self.profile(tail="{,}\n", name="bad")))
        self.assertIn("records.jsonl:122: is no record", self.refused(self.profile(tail='{"kind": ["time"], "point": "x"}\n', name="list")))
        (self.profile(name="latin") / "records.jsonl").write_bytes(b"\xff\n")
        self.assertIn("records.jsonl: is no UTF-8", self.refused(self.folder / "latin"))
        self.assertIn("names no point", self.refused(self.profile(more=[{**time_line(POINTS[0], 1), "point": "x [y] z"}], name="odd")))
        self.assertIn("records.jsonl: No such file", self.refused(self.folder / "none"))

    def test_points_that_were_timed_by_other_means_than_their_table_are_refused(self):
        mixed = time_line(("bf16", 24, 3), 14_000)
        mixed["source"] = "timed"
        self.assertIn("same means", self.refused(self.profile(more=[mixed])))


@unittest.skipIf(not THERMOE.exists(), f"{THERMOE} is not built")
class Steps(unittest.TestCase):
    """The plans of the steps that profile, as the program prints them."""

    @classmethod
    def setUpClass(cls):
        cls.plans = {}
        for step in gpu_steps.STEPS:
            for words in step.profiles:
                listed = subprocess.run([THERMOE, "profile", *words.split(), "--kernels", "cuda", "--list"], capture_output=True,
                                        text=True, check=True).stdout.splitlines()
                cls.plans.setdefault(step, []).append(listed)

    def test_each_fits_its_time(self):
        for step, plans in self.plans.items():
            expected = sum(float(line.split("about ")[1].split()[0]) for plan in plans for line in plan if " points to time" in line)
            self.assertLess(expected + 30, step.seconds, step.name)

    def energies(self, step):
        return [line for plan in self.plans[step] for line in plan if line.startswith("energy ")]

    def test_energies_of_the_tables_are_of_no_held_out_point_and_the_last_step_has_those(self):
        steps = {step.name: step for step in self.plans}

        def out(line):
            return any(f"tokens {t} " in line for t in (24, 384)) or line.split()[-1] in ("12", "80")

        for name in ("profile-2", "profile-3"):
            lines = self.energies(steps[name])
            self.assertEqual(len(lines), 30)
            self.assertFalse([line for line in lines if out(line)])
            self.assertGreaterEqual(min(sum(f"] {d}" in line for line in lines) for d in ("bf16", "int4")), 8, "a fit needs so many")
        held_out = [line for line in self.energies(steps["profile-4"]) if out(line)]
        self.assertGreaterEqual(len(held_out), 24)
        for shape in ("[128, 8, 2048, 768]", "[32, 4, 2880, 2880]"):
            for dtype in ("bf16", "int4"):
                for words in ("tokens 24 ", "active 12"):
                    self.assertTrue([line for line in held_out if f"{shape} {dtype}" in line and words in line], (shape, dtype, words))

    def test_every_energy_is_of_a_point_that_is_timed_first(self):
        timed = {line.split("  ")[-1] for line in next(plans for step, plans in self.plans.items() if step.name == "profile-1")[0]
                 if line.startswith("time ")}
        timed = {line[line.index("moe_experts"):] for line in timed if "moe_experts" in line}
        for step in self.plans:
            for line in self.energies(step):
                self.assertIn(line[line.index("moe_experts"):], timed)


if __name__ == "__main__":
    unittest.main()
