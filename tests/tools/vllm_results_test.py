#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The page of the proof on a real vLLM, from turns that a played engine made."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools/vllm_results.py"
LOAD = {"rate_per_s": 3.0, "prompt": 32, "length": 256, "batch_limit": 64, "seed": 1, "warm_s": 10.0, "seconds": 60.0, "tenant_share": 0.1}
PART = "qwen3-30b-a3b"


def turn(strategy, round_, *, watts, cap=None, **more):
    """What serve.py writes of one."""
    engine = {"device": "NVIDIA H100 80GB HBM3", "driver": "580", "card": "aaaa0000", "vllm": "0.25.1", "torch": "2.11.0", "commit": "c0ffee1",
              "command": f"serve.py --side {'stock' if strategy == 'stock' else 'plugin'}", "load": LOAD, "graph_sizes": [1, 2, 4, 8],
              "aims": None if strategy == "stock" else {"cap_share": 0.75, "power": 0.985, "latency": 0.95, "prefill_token_limit": 64,
                                                        "control": {"tick_s": 0.05}}}
    held = {"cap_w": cap, "mean_over_cap": watts / cap, "violations_without_tenant": 0.04, "violations_with_tenant": 0.08,
            "settling_s": 3.2, "settling_with_tenant_s": 2.0} if cap else {}
    plugin = strategy != "stock"
    return {"schema": 1, "part": PART, "round": round_, "strategy": strategy, "place": 1, "settings": {"power_w": cap} if cap else None,
            "stock_card": "aaaa0000" if plugin else None, "engine": engine, "seconds": 60.0, "tenant_s": [20.0, 40.0],
            "asked": {"power_w": cap, "between_tokens_ms": 19.0 if plugin else None},
            "power": {"joules": 60 * watts, "mean_w": watts, "mean_without_tenant_w": watts, **held},
            "between_tokens": {"decode_p50_ms": 17.5, "decode_p99_ms": 18.6, "p99_ms": 30.0, "batch": 14.2, "tokens": 46000},
            "requests": {"asked": 180, "finished": 180, "done_in_window": 179, "first_token_p50_ms": 40.0, "first_token_p99_ms": 60.0,
                         "goodput_requests_per_s": 2.9, "done_requests_per_s": 2.98},
            "experts": {"active_experts": 49.0 if plugin else None}, "tokens_per_s": 767.0, "joules_per_token": watts / 767,
            "joules_per_request": watts / 2.98, "kept": {"kept_mass": 0.93, "loss_nats": 0.08} if plugin else None, "complete": True,
            "series": {"columns": ["time_s", "watts", "batch", "active_experts", "between_tokens_ms"],
                       "rows": [[i - 9.0, watts + i % 3, 14.0, 49.0 + i % 2 if plugin else None, 17.5] for i in range(70)]}, **more}


class VllmResults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.out = self.folder / "results/vllm-h100"

    def put(self, *turns, folder="out"):
        where = self.folder / folder / "turns"
        where.mkdir(parents=True, exist_ok=True)
        for one in turns:
            (where / f"{one['part']}-{one['round']}-{one['strategy']}.json").write_text(json.dumps(one))
        return self.folder / folder

    def rounds(self, count=3, **ours):
        return [one for n in range(1, count + 1) for one in (
            turn("stock", n, watts=446.0 + n), turn("lambda0", n, watts=430.0 + n), turn("ours", n, watts=333.0, cap=335.0, **ours))]

    def run_tool(self, *folders):
        return subprocess.run([sys.executable, TOOL, *map(str, folders), "--out", self.out], capture_output=True, text=True, check=False)

    def made(self, *folders):
        done = self.run_tool(*folders)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(self.out.with_suffix(".json").read_text()), self.out.with_suffix(".md").read_text()

    def refused(self, *folders):
        done = self.run_tool(*folders)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        self.assertFalse(self.out.with_suffix(".json").exists())
        return done.stderr

    def test_targets_that_every_round_meets_are_met(self):
        result, page = self.made(self.put(*self.rounds()))
        self.assertEqual([one["met"] for one in result["parts"][0]["asked"]], [True] * 5)
        self.assertIn("| mean W / cap | 0.97..1.01 | 0.994, 0.994, 0.994 | met |", page)
        self.assertIn("| requests finished / asked | ≥ 1 | 1, 1, 1 | met |", page)
        self.assertIn("| ours | 333.0 | 0.994 | 4 % | 8 % | 3.2 | 17.5 / 18.6 | 19 | 40 / 60 |", page)
        self.assertIn("| 540/540 | 14.2 | 49 | 0.93 | 80 |", page)
        self.assertIn("cards (a hash each): aaaa0000", page)
        self.assertIn('`power_w` 0.985 × the cap, `time_per_token_ms` 0.95 × the limit (one is a mean, the other a percentile), '
                      '`prefill_token_limit` 64, `config.control` {"tick_s": 0.05}', page)
        self.assertIn("serve.py --side stock\nserve.py --side plugin\ntools/vllm_results.py out", page)

    def test_one_round_that_misses_a_target_misses_it(self):
        rounds = self.rounds()
        rounds[-1]["requests"]["finished"] = 179
        rounds[-1]["power"]["violations_without_tenant"] = 0.06
        rounds[-1]["between_tokens"]["decode_p99_ms"] = 19.2
        result, page = self.made(self.put(*rounds))
        self.assertEqual([one["met"] for one in result["parts"][0]["asked"]], [True, False, True, False, False])
        self.assertIn("**missed**", page)

    def test_what_was_not_measured_is_no_target_met(self):
        rounds = self.rounds()
        rounds[-1]["power"]["violations_without_tenant"] = None
        result, page = self.made(self.put(*rounds))
        self.assertFalse(result["parts"][0]["asked"][1]["met"])
        self.assertIn("0.04, 0.04, –", page)
        result, page = self.made(self.put(turn("stock", 1, watts=446.0), folder="other"))
        self.assertEqual([one["met"] for one in result["parts"][0]["asked"]], [False] * 5)
        self.assertIn("| not run | not run |", page)
        self.assertNotIn("missed", page)

    def test_gains_are_taken_within_a_round(self):
        result, page = self.made(self.put(*self.rounds()))
        gain = next(g for g in result["parts"][0]["gains"] if (g["against"], g["figure"]) == ("stock", "J/token"))
        self.assertEqual(len(gain["rounds"]), 3)
        self.assertAlmostEqual(gain["rounds"][0], 333.0 / 447.0 - 1)
        self.assertEqual(gain["interval"]["kind"], "95 % t")
        self.assertIn("| stock vLLM | J/token | -25.7 % |", page)
        self.assertIn("| plug-in, no price, no pacing | W | -22.9 % |", page)

    def test_turns_of_several_calls_are_joined_and_the_first_counts(self):
        first = self.put(*self.rounds(1))
        later = self.put(*(turn(one["strategy"], one["round"], watts=300.0, cap=335.0 if one["strategy"] == "ours" else None)
                           for one in self.rounds(2)), folder="later")
        result, _ = self.made(first, later)
        self.assertEqual([one["power"]["mean_w"] for one in result["parts"][0]["strategies"]["ours"]], [333.0, 300.0])

    def test_a_turn_that_did_not_end_is_left_out(self):
        rounds = self.rounds(1)
        rounds[-1]["complete"] = False
        result, _ = self.made(self.put(*rounds))
        self.assertNotIn("ours", result["parts"][0]["strategies"])

    def test_seconds_are_a_difference_of_a_clocks_times_and_no_setting(self):
        rounds = self.rounds(1)
        rounds[-1]["seconds"] = 59.99999999999994
        result, _ = self.made(self.put(*rounds))
        self.assertIn("ours", result["parts"][0]["strategies"])

    def test_a_cap_of_another_card_is_said(self):
        result, page = self.made(self.put(*self.rounds(1, stock_card="bbbb1111")))
        self.assertIn("Cap and limit are from a stock turn on another card: round 1 ours.", page)

    def test_other_experiments_and_bad_files_are_refused_by_name(self):
        rounds = self.rounds(1)
        rounds[-1]["engine"] = {**rounds[-1]["engine"], "load": {**LOAD, "seconds": 30.0}}
        self.assertRegex(self.refused(self.put(*rounds)), r"/engine/load is .*'seconds': 30.0.*these are different experiments")
        rounds = self.rounds(2)
        rounds[-1]["engine"]["aims"]["power"] = 1.0
        self.assertRegex(self.refused(self.put(*rounds, folder="aims")), r"/engine/aims is .*'power': 1.0")
        rounds = self.rounds(1)
        rounds[-1]["requests"]["asked"] = 170
        self.assertIn("/requests/asked is 170, but 180", self.refused(self.put(*rounds)))
        rounds = self.rounds(1)
        del rounds[0]["power"]
        self.assertIn(": /power is missing", self.refused(self.put(*rounds)))
        self.assertIn("/strategy is best", self.refused(self.put(turn("best", 1, watts=1.0))))
        self.assertIn("no such folder", self.refused(self.folder / "none"))
        (self.folder / "empty").mkdir()
        self.assertIn("no finished turn", self.refused(self.folder / "empty"))

    def test_what_was_written_by_hand_stays(self):
        out = self.put(*self.rounds())
        self.made(out)
        page = self.out.with_suffix(".md")
        page.write_text(page.read_text() + "What this means.\n")
        self.assertTrue(self.made(out)[1].endswith("<!-- written by hand -->\nWhat this means.\n"))

    def test_greedy_tokens_are_compared_with_those_of_the_engine_without_the_package(self):
        out = self.put(*self.rounds(1))
        for side, last in (("stock", 3), ("again", 3), ("free", 3), ("plugin", 9)):
            (out / f"engine-{PART}-{side}.json").write_text(json.dumps({
                "thermoe": {"stock": "not imported", "again": "not imported"}.get(side, "imported"), "card": "aaaa0000", "ready_s": 75.2, "graphs_captured": 250,
                "probe": {"tokens": [[1, 2, last], [1, 2, 3]], "ms_a_step": 16.1}}))
        result, page = self.made(out)
        [probes] = result["parts"][0]["probes"]
        self.assertEqual((probes["free"]["requests_that_differ"], probes["plugin"]["requests_that_differ"]), (0, 1))
        self.assertIn("| package installed, nothing asked | imported | 16.1 | – | all the same | 250 | 75.2 |", page)
        self.assertIn("| the same, started again | not imported | 16.1 | – | all the same | 250 | 75.2 |", page)
        self.assertIn("1 of 2 requests differ, first at token 2", page)
        self.assertIn("2 requests in lockstep, 3 tokens each", page)

    def test_engines_that_were_probed_alone_have_a_table_with_what_they_were_made_with(self):
        out, alone = self.put(*self.rounds(1)), self.folder / "alone"
        alone.mkdir()
        for side in ("stock", "plugin"):
            (alone / f"engine-{PART}-{side}.json").write_text(json.dumps({
                "engine_arguments": {"enforce_eager": True}, "thermoe": "imported", "graphs_captured": 0, "ready_s": 40.0,
                "probe": {"tokens": [[1, 2, 3]], "ms_a_step": 21.0, "kernels": [
                    [9000.0, 96.0, "fused_moe_kernel"], [240.0, 48.0, {"stock": "void vllm::moe::topkGating<8, 128>(...)",
                                                                      "plugin": "thermoe::cuda::route_batch<4, true>"}[side]]]}}))
        result, page = self.made(out, "--probes", alone)
        self.assertEqual([probes["plugin"]["requests_that_differ"] for probes in result["parts"][0]["probes"]], [0])
        self.assertIn('3 tokens each, once an engine made with `{"enforce_eager": true}`:', page)
        self.assertIn("| under the plug-in, no price | imported | 21 | 9240, 5.00 × 48 | all the same | 0 | 40 |", page)

    def test_where_a_decode_steps_time_goes_is_told_where_turns_timed_it(self):
        rounds = self.rounds(2)
        self.assertNotIn("from start to start", self.made(self.put(*rounds))[1])
        for one, late in zip([one for one in rounds if one["strategy"] == "ours"], (1, 3)):
            parts = {"period": 20.0, "launch": 4.0, "device": 14.0, "take": 15.0, "gap": 20.0}
            one["host"] = {**{f"{name}_p50_ms": ms for name, ms in parts.items()},
                           **{f"{name}_p99_ms": 1.5 * ms for name, ms in parts.items()}, "steps": 500, "late": late, "late_by_ms": {**dict.fromkeys(parts, 0.0), "launch": 10.0 / late}}
        page = self.made(self.put(*rounds, folder="timed"))[1]
        self.assertIn("| ours | 20 / 30 | 4 / 6 | 14 / 21 | 15 / 22.5 |", page)
        self.assertIn("| 4 of 1000 | +0.0, +5.0, +0.0, +0.0 |", page)

    def test_power_and_experts_are_drawn_with_the_cap_and_the_tenant(self):
        result, page = self.made(self.put(*self.rounds()))
        name = "vllm-h100-qwen3-30b-a3b.svg"
        self.assertIn(f"]({name})", page)
        text = (self.out.parent / name).read_text()
        xml.etree.ElementTree.fromstring(text)
        for expected in ("power, W", "active experts", "tenant", 'class="cap"', "KERNEL_AWARE_TTHA"):
            self.assertIn(expected, text)


if __name__ == "__main__":
    unittest.main()
