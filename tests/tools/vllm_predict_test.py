#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Turns of the proof are predicted from what was asked of them, beside what was measured without the tenant.

THERMOE names the program (default: build/cpu-release/src/cli/thermoe); without it the tests of the simulated machine skip.
"""
import argparse
import copy
import csv
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

import vllm_results_test as results

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/vllm_predict.py"
THERMOE = pathlib.Path(os.environ.get("THERMOE", ROOT / "build/cpu-release/src/cli/thermoe"))
sys.path[0:0] = [str(ROOT / "tools"), str(ROOT / "tools/vllm_proof")]

import synthesise_trace  # noqa: E402
import vllm_predict  # noqa: E402
from arrivals import poisson  # noqa: E402
from strategies import settings  # noqa: E402

NAME = "qwen3-30b-a3b-2-{}"
LOAD = {**results.LOAD, "warm_s": 10.0, "seconds": 30.0}
TENANT = [10.0, 20.0]
#: Plays `thermoe run`: ticks of 0.5 s, 300 W in the mean, 16 ms and D 50; who looks at other times or at a prompt's step sees 999.
PLAYED = """#!{python}
import csv, pathlib, sys
names = ["strategy", "time_s", "power_true_w", "steps", "tokens", "mixed_steps", "between_tokens_ms", "active_experts", "batch"]
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(exist_ok=True)
with open(out / "metrics.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(names)
    for i in range(1, 81):
        t, mixed = i / 2, i % 10 == 0
        there = 10 < t <= 20 or 30 < t <= 40
        watts, other = (290 if t <= 20 else 310, 999 if mixed else None) if there else (999, 999)
        steps = 0 if i % 7 == 0 else 30
        told = (other or 16, other or 50, 9) if steps else ("", "", "")
        rows.writerow(["S", t, watts, steps, 9 * steps, int(mixed), *told])
"""


def turn(strategy="ours", *, watts=360.0, temperature=50.0, power_w=350.0, ms=20.0):
    """One that was measured so; what is not to be looked at is far off."""
    asked = None if strategy == "stock" else settings(strategy, power_w=power_w, between_tokens_ms=ms, cost_model="costs.json",
                                                      costed_as="Qwen3-30B-A3B", control={"tick_s": 0.05})
    made = results.turn(strategy, 2, watts=watts, cap=None if strategy == "stock" else power_w / 0.98, settings=asked,
                        seconds=29.999999999999943, tenant_s=TENANT)
    made["engine"] = {**made["engine"], "load": LOAD, "graph_sizes": [1, 2, 4, *range(8, 129, 8)]}
    made["power"] |= {"mean_w": 900.0, "mean_without_tenant_w": watts, "temperature_c": temperature}
    rows = []
    for i in range(-9, 31):
        there = 0 < i <= 10 or 20 < i <= 30
        d = None if strategy == "stock" else 128.0 if not there else 38.0 if i <= 10 else 42.0
        rows.append([float(i), watts, 8.0, d, 20.0] if there else [float(i), 900.0, 60.0, d, 90.0])
    made["series"]["rows"] = rows
    return made


class Predictions(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "predicted"

    def run_tool(self, thermoe, *turns, trace=()):
        where = self.folder / "out/turns"
        where.mkdir(parents=True, exist_ok=True)
        for one in turns:
            (where / f"{one['part']}-{one['round']}-{one['strategy']}.json").write_text(json.dumps(one))
        command = [sys.executable, TOOL, self.folder / "out", "--thermoe", thermoe, "--out", self.out]
        command += ["--keep", self.folder / "kept", *(("--trace", trace) if trace else ())]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    def made(self, thermoe, *turns, **options):
        ran = self.run_tool(thermoe, *turns, **options)
        self.assertEqual(ran.returncode, 0, ran.stderr)
        found = json.loads(self.out.with_suffix(".json").read_text())
        return {row["strategy"]: row for row in found["rows"]}, found

    def refused(self, thermoe, *turns):
        ran = self.run_tool(thermoe, *turns)
        self.assertEqual(ran.returncode, 2, ran.stderr)
        self.assertFalse(self.out.with_suffix(".json").exists() or self.out.with_suffix(".md").exists())
        return ran.stderr

    def experiment(self, strategy="ours"):
        return json.loads((self.folder / "kept" / f"{NAME.format(strategy)}.json").read_text())


class Compared(Predictions):
    """By a played program."""

    def setUp(self):
        super().setUp()
        self.played = self.folder / "thermoe"
        self.played.write_text(PLAYED.format(python=sys.executable))
        self.played.chmod(0o755)

    def test_both_sides_are_those_of_decode_steps_without_the_tenant(self):
        rows, found = self.made(self.played, turn("ours", watts=360.0), turn("stock", watts=450.0))
        self.assertEqual(rows["ours"]["power_w"], {"measured": 360.0, "predicted": 300.0, "error": -0.1667})
        self.assertEqual(rows["ours"]["between_tokens_ms"], {"measured": 20.0, "predicted": 16.0, "error": -0.2})
        self.assertEqual(rows["ours"]["active_experts"], {"measured": 40.0, "predicted": 50.0, "error": 0.25})
        self.assertEqual(rows["ours"]["batch"], {"measured": 8.0, "predicted": 9.0, "error": 0.125})
        self.assertEqual(rows["stock"]["active_experts"], {"measured": None, "predicted": 50.0, "error": None})
        self.assertEqual(found["errors"]["all"]["power_w"], {"median": 0.25, "worst": 0.3333, "turns": 2})
        self.assertEqual(found["errors"]["cap asked"]["active_experts"], {"median": 0.25, "worst": 0.25, "turns": 1})
        self.assertEqual(found["errors"]["no cap asked"]["active_experts"]["median"], None)
        page = self.out.with_suffix(".md").read_text()
        self.assertIn("| W, all | 25.0 % | 33.3 % | 2 |", page)
        self.assertIn("| stock | 50.0 | 450.0 | 300.0 | -33.3 % | 20.00 | 16.00 | -20.0 % | – | 50.0 | – | 8.0 | 9.0 |",
                      page)

    def test_an_experiment_is_what_was_asked_of_the_turn_and_nothing_that_was_measured_but_the_temperature(self):
        one = turn("ours")
        one["settings"]["config"]["control"]["max_quality_loss"] = 0.3
        self.made(self.played, one)
        asked = self.experiment()
        self.assertEqual(asked["control"], {"mode": "dual_only", "max_quality_loss": 0.3})
        self.assertEqual((asked["strategies"], asked["tick_s"], asked["duration_s"]), (["KERNEL_AWARE_TTHA"], 0.05, 40.0))
        self.assertEqual(asked["targets"], {"power_w": 350.0, "time_between_tokens_ms": 20.0})
        self.assertEqual(asked["engine"], {"batch_limit": 64})
        with open(asked["arrivals"]["file"], encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        self.assertEqual([row["time"] for row in rows], [f"{time:.6f}" for time in poisson(3.0, 40.0, "1 2")])
        self.assertEqual({(row["tokens_in"], row["tokens_out"]) for row in rows}, {("32", "256")})
        other = copy.deepcopy(one)
        other["power"] |= {"mean_w": 1.0, "mean_without_tenant_w": 2.0, "joules": 3.0}
        other["between_tokens"] = dict.fromkeys(other["between_tokens"], 4.0)
        other["experts"] = {"active_experts": 5.0}
        other["series"]["rows"] = [[row[0], 6.0, 7.0, 8.0, 9.0] for row in one["series"]["rows"]]
        self.made(self.played, other)
        self.assertEqual(self.experiment(), asked)

    def test_a_second_counts_by_its_steps_and_tokens(self):
        one = turn("ours")
        one["series"]["rows"] = [[1.0, 360.0, 10.0, 40.0, 10.0], [2.0, 360.0, 20.0, 60.0, 20.0], [3.0, 360.0, None, None, None]]
        found = vllm_predict.measured(one)  # 100 steps of 10 tokens, 50 of 20, none
        self.assertAlmostEqual(found["between_tokens_ms"], (1000 * 10 + 1000 * 20) / 2000)
        self.assertAlmostEqual(found["active_experts"], (100 * 40 + 50 * 60) / 150)
        self.assertAlmostEqual(found["batch"], 2000 / 150)

    def test_stock_has_padding_and_no_target_and_static_its_samples(self):
        self.made(self.played, turn("stock"), turn("static"), turn("lambda0"))
        stock, static, lambda0 = map(self.experiment, ("stock", "static", "lambda0"))
        self.assertEqual((stock["strategies"], stock["targets"], stock["engine"]["graph_sizes"][-1]), (["BASELINE"], {}, 128))
        self.assertEqual((lambda0["strategies"], lambda0["targets"], lambda0["engine"]), (["BASELINE"], {}, {"batch_limit": 64}))
        self.assertEqual((static["strategies"], static["calibration_samples"]), (["STATIC_OPTIMAL"], 160))

    def test_bad_input_is_refused_by_name(self):
        cold = turn("ours")
        cold["power"]["temperature_c"] = None
        self.assertIn(f"{NAME.format('ours')}: /power/temperature_c is null, not a number", self.refused(self.played, cold))
        unset = {**turn("ours"), "settings": None}
        self.assertIn("settings is null, not dict", self.refused(self.played, unset))
        self.assertRegex(self.refused(self.folder / "absent", turn("ours")), "--thermoe .*absent: No such file.*; build it")
        self.played.write_text("#!/bin/sh\necho 'error: thermoe refuses this' >&2\nexit 2\n")
        self.assertIn("`thermoe run` of its experiment: error: thermoe refuses this", self.refused(self.played, turn("ours")))
        other = {**turn("ours"), "part": "gpt-oss-20b-trace"}
        for path in (self.folder / "out/turns").iterdir():
            path.unlink()
        self.assertIn("no finished turn of qwen3-30b-a3b, but of gpt-oss-20b-trace; --trace names a recorded router",
                      self.refused(self.played, other))


@unittest.skipIf(not THERMOE.exists(), f"{THERMOE} is not built")
class Simulated(Predictions):
    def test_a_cap_is_held_by_a_longer_period_and_fewer_experts_than_stock_and_pacing_have(self):
        rows, _ = self.made(THERMOE, turn("stock"), turn("lambda0"), turn("ours", power_w=350.0, ms=20.0), turn("pacing"))
        made = {name: {key: row[key]["predicted"] for key in ("power_w", "between_tokens_ms", "active_experts", "batch")}
                for name, row in rows.items()}
        self.assertAlmostEqual(made["ours"]["power_w"], 350.0, delta=7.0)
        self.assertGreater(made["pacing"]["power_w"], 360.0)
        self.assertAlmostEqual(made["ours"]["between_tokens_ms"], 20.0, delta=0.6)
        self.assertAlmostEqual(made["pacing"]["between_tokens_ms"], 20.0, delta=0.6)
        self.assertLess(made["ours"]["active_experts"], 0.95 * made["pacing"]["active_experts"])
        for free in ("stock", "lambda0"):
            self.assertGreater(made[free]["power_w"], 1.2 * made["ours"]["power_w"])
        self.assertGreater(made["stock"]["active_experts"], 1.1 * made["lambda0"]["active_experts"])  # padding rows
        # 8 of 128 drawn evenly by each sequence, of batches that vary; a router's favourites make fewer
        even = 128 * (1 - (1 - 8 / 128) ** made["lambda0"]["batch"])
        self.assertTrue(0.85 * even < made["lambda0"]["active_experts"] < even)

    def test_idle_follows_the_die(self):
        cool, _ = self.made(THERMOE, turn("lambda0", temperature=40.0))
        hot, _ = self.made(THERMOE, turn("lambda0", temperature=70.0))
        more = hot["lambda0"]["power_w"]["predicted"] - cool["lambda0"]["power_w"]["predicted"]
        self.assertAlmostEqual(more, 30 * 1.17, delta=1.0)

    def test_a_recorded_router_is_played_where_it_is_given(self):
        shape = {"samples": 24, "layers": 24, "tokens": 16, "experts": 32, "k": 4, "seed": 1}
        router, file = synthesise_trace.Router(argparse.Namespace(**shape)), self.folder / "logits.safetensors"
        synthesise_trace.write(file, router.rows(0.5, 1.0), router.shape, {"k": "4", "score_function": "softmax"})
        turns = [{**turn(name, power_w=320.0), "part": "gpt-oss-20b-trace"} for name in ("lambda0", "ours")]
        for one in turns:
            one["settings"]["costed_as"] = "gpt-oss-20b"
        rows, found = self.made(THERMOE, turn("lambda0"), *turns, trace=file)
        self.assertEqual({(row["part"], row["strategy"]) for row in found["rows"]},
                         {("qwen3-30b-a3b", "lambda0"), ("gpt-oss-20b-trace", "lambda0"), ("gpt-oss-20b-trace", "ours")})
        even = 32 * (1 - (1 - 4 / 32) ** rows["ours"]["batch"]["predicted"])
        self.assertLess(rows["ours"]["active_experts"]["predicted"], even)
        self.assertEqual(found["parts_left_out"], [])
        self.assertEqual({group: those["power_w"]["turns"] for group, those in found["errors"].items()},
                         {"all": 3, "gpt-oss-20b-trace": 2, "qwen3-30b-a3b": 1, "no cap asked": 2, "cap asked": 1})
        _, found = self.made(THERMOE, turn("lambda0"), *turns)
        self.assertEqual((len(found["rows"]), found["parts_left_out"]), (1, ["gpt-oss-20b-trace"]))


if __name__ == "__main__":
    unittest.main()
