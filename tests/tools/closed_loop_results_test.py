#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rounds of a closed loop are joined where they belong together, compared within a round, and never pass for what they are not.

THERMOE names the program that makes the runs (default: build/cpu-release/src/cli/thermoe); without it the tests skip.
"""
import csv
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "closed_loop_results.py"
THERMOE = pathlib.Path(os.environ.get("THERMOE", ROOT / "build/cpu-release/src/cli/thermoe"))
SMALL = {"duration_s": 15, "calibration_samples": 8, "warmup_steps": 8, "kl_every": 0, "rounds": 2,
         "disturbances": [{"kind": "background", "from_s": 5, "to_s": 10, "power_w": 60, "bandwidth_share": 0.15}]}


@unittest.skipIf(not THERMOE.exists(), f"{THERMOE} is not built")
class ClosedLoopResults(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(folder.cleanup)
        cls.made = pathlib.Path(folder.name)
        experiment = {**json.loads((ROOT / "experiments/demo.json").read_text()), **SMALL}
        (cls.made / "demo.json").write_text(json.dumps(experiment))
        subprocess.run([THERMOE, "run", cls.made / "demo.json", "--no-report", "--out", cls.made / "run"], cwd=ROOT, check=True,
                       capture_output=True)

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "results/closed"

    def run_folder(self, name, simulated=True, experiment=None, summary=None, rename=None, **beside):
        """A copy of the run, changed: {key of the experiment: value}, what `summary` does to a strategy's summary."""
        copy = self.folder / name
        shutil.copytree(self.made / "run", copy)
        self.edit(copy / "config.json", lambda config: (config.update(simulated=simulated),
                                                        config["experiment"].update(experiment or {})))
        self.edit(copy / "summary.json", lambda content: (content.update(
            simulated=simulated, device="simulated NVIDIA H100" if simulated else "NVIDIA H100"),
            [summary(s) for s in content["strategies"] if summary]))
        if not simulated:
            path = copy / "metrics.csv"
            with open(path, encoding="utf-8", newline="") as file:
                rows = list(csv.reader(file))
            for row in rows[1:]:
                row[rows[0].index("simulated")] = "0"
            with open(path, "w", encoding="utf-8", newline="") as file:
                csv.writer(file, lineterminator="\n").writerows(rows)
        if beside:
            (copy / "measured.json").write_text(json.dumps(beside))
        return copy

    @staticmethod
    def edit(path, change):
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))

    def run_tool(self, *arguments):
        return subprocess.run([sys.executable, TOOL, *map(str, arguments), "--out", self.out], capture_output=True, text=True,
                              check=False)

    def joined(self, *arguments):
        done = self.run_tool(*arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(self.out.with_suffix(".json").read_text()), self.out.with_suffix(".md").read_text()

    def refused(self, *arguments):
        done = self.run_tool(*arguments)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_rounds_of_one_folder_and_of_several_are_rounds_alike(self):
        result, page = self.joined(self.run_folder("a"), self.run_folder("b"))
        rounds = result["experiments"][0]["rounds"]
        self.assertEqual([(r["round"], r["run"], r["turn"], len(r["strategies"])) for r in rounds],
                         [(1, "a", 1, 5), (2, "a", 2, 5), (3, "b", 1, 5), (4, "b", 2, 5)])
        self.assertNotIn("#2", page)
        self.assertIn("4 rounds", page)

    def test_differences_are_taken_within_a_round(self):
        def drifts(s):  # a warmer second round, under all strategies alike
            s["mean_power_w"] = 400.0 if s["name"].startswith("STATIC") else 390.0
            s["mean_power_w"] += 50.0 * s["name"].endswith("#2")
        result, page = self.joined(self.run_folder("a", summary=drifts))
        watts = next(p for p in result["experiments"][0]["paired"]
                     if p["rival"] == "STATIC_OPTIMAL" and p["figure"] == "mean_power_w")
        self.assertEqual((watts["differences"], watts["interval"]), ([-10.0, -10.0], {"kind": "range", "ends": [-10.0, -10.0]}))
        self.assertIn("| STATIC_OPTIMAL | W | -10 | -10..-10 | range | -10, -10 |", page)

    def test_one_round_has_no_interval(self):
        folder = self.run_folder("a")
        for name in ("summary", "details"):
            self.edit(folder / f"{name}.json", lambda content: content.update(
                strategies=[s for s in content["strategies"] if "#2" not in s["name"]]))
        result, page = self.joined(folder)
        self.assertEqual(result["experiments"][0]["paired"][0]["interval"], {"kind": "one round", "ends": None})
        self.assertIn("no interval (one round)", page)

    def test_three_rounds_and_more_have_an_interval_by_students_t(self):
        def watts(value):
            return lambda s: s.update(mean_power_w=value if s["name"].startswith("KERNEL") else 0.0)
        result, _ = self.joined(*(self.run_folder(str(w), summary=watts(w)) for w in (1.0, 3.0)))
        found = next(p for p in result["experiments"][0]["paired"] if p["figure"] == "mean_power_w")
        self.assertEqual((found["differences"], found["mean"]), ([1.0, 1.0, 3.0, 3.0], 2.0))
        # s = 2 / sqrt(3), t(3) = 3.182, n = 4
        self.assertAlmostEqual(found["interval"]["ends"][1], 2.0 + 3.182 * (2 / 3 ** 0.5) / 2, places=6)

    def test_a_target_is_met_only_if_every_round_meets_it(self):
        def targets(mean):
            def change(details):
                for s in details["strategies"]:
                    s["targets"][0].update(mean=350.0 if not s["name"].endswith("#2") else mean, violation_fraction=0.01, settling_time_s=None)
            return change
        good = self.run_folder("good")
        self.edit(good / "details.json", targets(352.0))
        result, page = self.joined(good)
        asked = {a["asked"]: a for a in result["experiments"][0]["asked"] if a["strategy"] == "KERNEL_AWARE_TTHA"}
        self.assertTrue(asked["mean / cap"]["met"])
        self.assertTrue(asked["violations, share of the time"]["met"])
        self.assertFalse(asked["settling, s"]["met"])
        self.assertIn("| settling, s | ≤ 3 | never, never | **missed** |", page)
        self.edit(good / "details.json", targets(354.0))
        result, _ = self.joined(good)
        self.assertFalse(result["experiments"][0]["asked"][0]["met"])

    def test_a_cap_on_temperature_is_judged_by_the_last_minute_and_one_on_step_time_by_its_p95(self):
        def of(kind, value):
            def change(details):
                for s in details["strategies"]:
                    s["targets"][0].update(target=kind, value=value)
            return change
        for kind, value, met in (("temperature_c", 60.0, [True, True]), ("temperature_c", 40.0, [False, False]),
                                 ("step_ms", 20.0, [True, True]), ("step_ms", 5.0, [False, False])):
            folder = self.run_folder(f"{kind}-{value}")
            self.edit(folder / "details.json", of(kind, value))
            result, _ = self.joined(folder)
            self.assertEqual([a["met"] for a in result["experiments"][0]["asked"]], met)

    def test_static_is_shown_to_fail_while_the_tenant_works(self):
        result, page = self.joined(self.run_folder("a"))
        failing = [a for a in result["experiments"][0]["asked"] if a["strategy"] == "STATIC_OPTIMAL"]
        self.assertTrue(failing[0]["met"])
        self.assertGreater(min(failing[0]["rounds"]), 0.5)
        self.assertIn("fails while the tenant works", page)

    def test_simulated_results_say_so_wherever_they_are_shown_and_real_ones_do_not(self):
        _, page = self.joined(self.run_folder("a"))
        headings = [line for line in page.splitlines() if line.startswith("## ") and "asked" not in line]
        self.assertTrue(all("simulated" in line for line in headings), headings)
        self.assertIn("**Simulated**", page)
        self.assertIn("simulated power, W", next(self.out.parent.glob("*.svg")).read_text())
        result, page = self.joined(self.run_folder("b", simulated=False))
        self.assertFalse(result["simulated"])
        self.assertNotIn("imulated", page)
        self.assertNotIn("imulated", next(self.out.parent.glob("*.svg")).read_text())

    def test_simulated_and_real_runs_are_not_joined(self):
        said = self.refused(self.run_folder("real", simulated=False), self.run_folder("made"))
        self.assertIn("made/config.json: /simulated is true", said)

    def test_a_run_that_contradicts_itself_about_being_simulated_is_refused(self):
        real = self.run_folder("real", simulated=False)
        shutil.copy(self.made / "run/metrics.csv", real)
        self.assertIn("real/metrics.csv: simulated of BASELINE is not what config.json says", self.refused(real))
        shutil.copy(self.made / "run/summary.json", real)
        self.assertIn("real/summary.json: /simulated", self.refused(real))

    def test_other_caps_and_other_experiments_are_not_joined(self):
        first = self.run_folder("a")
        said = self.refused(first, self.run_folder("b", experiment={"targets": {"power_w": 300.0}}))
        self.assertIn("b/config.json: /experiment/targets/power_w is 300.0, but 350.0 in", said)
        said = self.refused(first, self.run_folder("c", experiment={"duration_s": 60.0}))
        self.assertIn("/experiment/duration_s is 60.0, but 15.0", said)

    def test_what_a_calibration_found_out_about_its_card_may_differ_between_rounds(self):
        self.joined(self.run_folder("a", simulated=False), self.run_folder("b", simulated=False, experiment={
            "cost_model": "b/cost_model.json", "seed": 2, "round": 2}))

    def test_results_of_two_devices_are_not_joined(self):
        other = self.run_folder("b", simulated=False)
        self.edit(other / "summary.json", lambda summary: summary.update(device="NVIDIA H200"))
        self.assertIn("/device is NVIDIA H200, but NVIDIA H100", self.refused(self.run_folder("a", simulated=False), other))

    def test_cards_driver_and_commit_are_reported(self):
        folders = [self.run_folder(card, simulated=False, card=card, driver="580.1", commit="abc") for card in ("c0ffee", "decade")]
        result, page = self.joined(*folders)
        self.assertEqual((result["cards"], result["driver"], result["commit"]), (["c0ffee", "decade"], "580.1", "abc"))
        self.assertIn("round 3 on card decade", page)

    def test_experiments_that_differ_in_price_expert_type_or_workload_share_a_table(self):
        def control(price):
            return {"control": {"price": price}, "name": f"prices-{price}"}
        folders = [self.run_folder("main"),
                   *(self.run_folder(f"p{price}", experiment=control(price)) for price in (0.01, 0.02)),
                   *(self.run_folder(kind, experiment={"name": kind, "expert_type": kind, "arrival": {"kind": "saturated"}})
                     for kind in ("simple", "quantized")),
                   *(self.run_folder(kind, experiment={"name": f"w-{kind}", "workload": kind, "tick_s": 0.2})
                     for kind in ("standard", "small_batch"))]
        result, page = self.joined(*folders)
        self.assertEqual(result["tables"], {"targets": [], "control.price": [[1, 2]], "expert_type": [[3, 4]], "workload": [[5, 6]]})
        self.assertIn("## Fixed prices, 1000 tokens/s, B = 16 (simulated)", page)
        self.assertIn("## Simple against quantised experts, saturated, B = 16 (simulated)", page)
        self.assertIn("| workload | strategy | D | tokens/s | mean W | × cap | violation | J/token |", page)
        self.assertEqual([line for line in page.splitlines() if line.startswith("## ")][1], "## demo (simulated)")
        self.assertEqual([path.name for path in self.out.parent.glob("*.svg")], ["closed-demo.svg"])

    def only(self, name, strategy, targets=None, **experiment):
        """The run of one strategy alone."""
        folder = self.run_folder(name, experiment={"name": name, "strategies": [strategy], "targets": targets or {}, **experiment})
        for file in ("summary", "details"):
            self.edit(folder / f"{file}.json", lambda content: content.update(
                strategies=[{**s, **({} if targets else {"targets": []})} for s in content["strategies"] if s["name"].startswith(strategy)]))
        return folder

    def test_runs_of_one_strategy_without_a_cap_share_a_table(self):
        result, page = self.joined(self.run_folder("main"), self.only("a-baseline", "BASELINE"),
                                   self.only("b-baseline", "BASELINE", duration_s=20))
        self.assertEqual(result["tables"]["targets"], [[1, 2]])
        self.assertIn("## Without a cap, from which a cap was made, 1000 tokens/s, B = 16 (simulated)", page)
        self.assertNotIn("## a-baseline", page)

    def test_all_rounds_of_a_strategy_that_ran_alone_are_drawn(self):
        self.joined(self.only("alone", "KERNEL_AWARE_TTHA", {"power_w": 350.0}))
        drawing = (self.out.parent / "closed-alone.svg").read_text()
        self.assertIn("<title>alone, KERNEL_AWARE_TTHA (simulated)</title>", drawing)
        self.assertIn(">round 2</text>", drawing)

    def test_a_section_says_what_ran_and_not_what_its_file_described(self):
        _, page = self.joined(self.run_folder("a", experiment={
            "description": "Under a cap of 999 W.", "costed_as": {"name": "gpt-oss-20b"}, "trace": {"file": "data/traces/x.safetensors"}}))
        self.assertIn("1000 tokens/s, B = 16, 15 s a strategy; decided by the recorded router data/traces/x.safetensors; costed as gpt-oss-20b; "
                      "KERNEL_AWARE_TTHA: dual and adapter; another tenant of 60 W from 5 s to 10 s; cap: 350 W; 2 rounds.", page)
        self.assertNotIn("999 W", page)

    def test_the_time_before_while_and_after_the_tenant_works_is_shown_apart(self):
        result, page = self.joined(self.run_folder("a"))
        phases = {s["strategy"]: s["phases"] for s in result["experiments"][0]["rounds"][0]["strategies"]}
        before, during, after = (p["power_true_w"] for p in phases["STATIC_OPTIMAL"])
        self.assertGreater(during, before + 30.0)
        self.assertGreater(during, after + 30.0)
        self.assertLess(phases["KERNEL_AWARE_TTHA"][1]["active_experts"], phases["KERNEL_AWARE_TTHA"][0]["active_experts"])
        self.assertIn("| strategy | W | W, sensor | D | kept mass | at the floor, % |", page)

    def test_the_commands_of_the_runs_are_on_the_page(self):
        _, page = self.joined(self.run_folder("a", simulated=False, card="c0ffee", commit="abc", command="thermoe run x.json"))
        self.assertEqual(page.count("| a | c0ffee | abc | `thermoe run x.json` |"), 1)  # two rounds of one command

    def test_twins_are_held_against_real_runs_and_errors_have_limits_at_fixed_prices_alone(self):
        def more(s):
            s["mean_power_w"] *= 1.04
            s["joules_per_token"] *= 1.06
        priced = {"control": {"price": 0.01}, "name": "priced"}
        result, page = self.joined(self.run_folder("a", simulated=False), self.run_folder("p", simulated=False, experiment=priced),
                                   "--twins", self.run_folder("ta", summary=more), self.run_folder("tp", experiment=priced, summary=more))
        rows = [row for row in result["predictions"] if row["strategy"] == "STATIC_OPTIMAL"]
        self.assertEqual([row["price"] for row in rows], [None, 0.01])
        self.assertEqual([row["figures"]["joules_per_token"]["met"] for row in rows], [None, False])
        self.assertAlmostEqual(rows[1]["figures"]["mean_power_w"]["error"], 0.04)
        self.assertTrue(rows[1]["figures"]["mean_power_w"]["met"])
        self.assertIn("(+6.0 %) **missed**", page)

    def test_twins_of_a_refitted_plant_have_a_table_of_their_own(self):
        result, page = self.joined(self.run_folder("a", simulated=False), "--refitted", self.run_folder("ta"))
        self.assertEqual((len(result["predictions"]), {row["experiment"] for row in result["refitted"]}), (0, {"demo"}))
        self.assertIn("## What it predicts with costs calibrated on the card", page)
        self.assertNotIn("## What the simulation predicts", page)

    def test_a_twin_of_another_experiment_is_refused_and_so_is_a_real_one(self):
        real = self.run_folder("a", simulated=False)
        self.assertIn("/experiment/duration_s", self.refused(real, "--twins", self.run_folder("t", experiment={"duration_s": 1.0})))
        self.assertIn("was not simulated", self.refused(real, "--twins", self.run_folder("r", simulated=False)))

    def test_utilisation_is_shown_against_active_experts_without_the_tenants_time(self):
        result, page = self.joined(self.run_folder("a"))
        bins = result["utilisation"][0]["bins"]
        self.assertEqual(sum(b["windows"] for b in bins), 2 * 5 * 2)  # 10 of 15 s, five strategies, two rounds
        self.assertLess(bins[0]["gpu_util"], bins[-1]["gpu_util"])
        self.assertIn("| load | D | SM | memory | W | windows |", page)

    def test_the_plot_has_a_line_a_strategy_the_cap_and_the_tenants_time(self):
        self.joined(self.run_folder("a"))
        text = (self.out.parent / "closed-demo.svg").read_text()
        drawing = xml.etree.ElementTree.fromstring(text)
        lines = [e for e in drawing.iter() if e.get("class", "").startswith("line") and len(e.get("d", "")) > 100]
        self.assertEqual(len(lines), 5 + 5 + 2)  # power, D; a price have two
        self.assertEqual(sum(e.get("class") == "cap" and e.get("d", "").endswith("H848") for e in drawing.iter()), 1)
        self.assertEqual(sum(e.get("class") == "shade" for e in drawing.iter()), 3 + 1)
        self.assertLess(len(text), 60_000)
        self.assertNotRegex(text, r"\bnan\b")
        self.assertIn("![Power, active experts and price over time](closed-demo.svg)", self.out.with_suffix(".md").read_text())

    def test_what_people_wrote_on_the_page_stays(self):
        folder = self.run_folder("a")
        self.joined(folder)
        page = self.out.with_suffix(".md")
        page.write_text(page.read_text() + "\nThe card was warm.\n")
        self.assertTrue(self.joined(folder)[1].endswith("<!-- written by hand -->\n\nThe card was warm.\n"))

    def test_bad_input_names_file_and_key(self):
        for change, said in (
                (lambda f: (f / "summary.json").unlink(), "a/summary.json: No such file or directory; a run that was interrupted"),
                (lambda f: (f / "details.json").write_text("{"), "a/details.json: is no JSON"),
                (lambda f: self.edit(f / "summary.json", lambda s: s["strategies"][1].pop("joules_per_token")),
                 "a/summary.json: /strategies/1/joules_per_token is missing"),
                (lambda f: self.edit(f / "summary.json", lambda s: s["strategies"][0].update(mean_power_w="much")),
                 'a/summary.json: /strategies/0/mean_power_w is "much", not a number'),
                (lambda f: self.edit(f / "config.json", lambda c: c.pop("simulated")), "a/config.json: /simulated is missing"),
                (lambda f: self.edit(f / "details.json", lambda d: d["strategies"].pop()), "a/details.json: /strategies has no "),
                (lambda f: (f / "metrics.csv").write_text("strategy,time_s\n"), "a/metrics.csv: column simulated is missing"),
                (lambda f: (f / "metrics.csv").write_text((f / "metrics.csv").read_text().replace("BASELINE,0.1,", "BASELINE,soon,")),
                 "a/metrics.csv:2: time_s is 'soon', not a number")):
            with self.subTest(said):
                folder = self.run_folder("a")
                change(folder)
                self.assertIn(said, self.refused(folder))
                shutil.rmtree(folder)


if __name__ == "__main__":
    unittest.main()
