#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The proof on two GPUs, without one: ranks' records are compared, and a turn runs on a played engine with two played counters."""
import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[0:0] = [str(ROOT / "tools/vllm_proof"), str(ROOT / "tools")]

import figures  # noqa: E402
import two_gpus  # noqa: E402
from arrivals import Server  # noqa: E402
from same_steps import Step, alike, compare  # noqa: E402
from vllm_proof_test import Clock, Counter, Engine  # noqa: E402


def steps(count=100, *, first=1, of_a_plan=5):
    """A rank's, of 10 ms each; every third has logits, each plan is another one."""
    return [Step(number=n, at=0.01 * n, version=n // of_a_plan, plan=70 + n // of_a_plan, counts=900 + n,
                 logits=n if n % 3 == 0 else None) for n in range(first, first + count)]


class CompareTest(unittest.TestCase):
    def changed(self, **values):
        """The second rank with step 50 otherwise."""
        ours, theirs = steps(), steps()
        theirs[49] = theirs[49]._replace(**values)
        return compare([ours, theirs])

    def test_ranks_that_did_the_same_are_alike(self):
        found = compare([steps(), steps()])
        self.assertTrue(alike(found))
        self.assertEqual((found["ranks"], found["steps_compared"], found["steps_that_differ"], found["steps_of_one_rank_only"]),
                         (2, 100, 0, 0))
        self.assertEqual((found["versions"], found["changes"], found["different_plans"]), (21, 20, 21))
        self.assertAlmostEqual(found["changes_per_s"], 20 / 0.99)
        self.assertEqual(found["steps_with_logits_compared"], 33)

    def test_one_step_under_another_version_is_found(self):
        found = self.changed(version=3)
        self.assertFalse(alike(found))
        self.assertEqual((found["steps_that_differ"], found["first_that_differ"]), (1, [{"number": 50, "in": ["version"]}]))

    def test_other_counts_a_plan_of_other_contents_and_other_logits_are_found(self):
        for name in ("counts", "plan"):
            self.assertEqual(self.changed(**{name: 1})["first_that_differ"], [{"number": 50, "in": [name]}])
        ours, theirs = steps(), steps()
        theirs[50] = theirs[50]._replace(logits=1)  # the step of number 51
        self.assertEqual(compare([ours, theirs])["first_that_differ"], [{"number": 51, "in": ["logits"]}])

    def test_a_rank_without_a_free_slot_has_no_logits_and_differs_in_nothing(self):
        found = compare([steps(), [step._replace(logits=None) for step in steps()]])
        self.assertTrue(alike(found))
        self.assertEqual(found["steps_with_logits_compared"], 0)

    def test_steps_that_one_rank_alone_has_seen_are_counted_and_not_compared(self):
        ours, theirs = steps(), steps(first=11)
        del theirs[20:30]
        found = compare([ours, theirs])
        self.assertTrue(alike(found))
        self.assertEqual((found["steps_compared"], found["steps_of_one_rank_only"]), (80, 30))

    def test_the_third_of_three_ranks_counts_and_few_of_many_are_shown(self):
        found = compare([steps(), steps(), [step._replace(counts=0) for step in steps()]])
        self.assertEqual((found["steps_that_differ"], len(found["first_that_differ"])), (100, 5))

    def test_where_nothing_was_compared_nothing_is_alike(self):
        for ranks in ([[], []], [steps(5), steps(5, first=50)], [steps(5), []]):
            found = compare(ranks)
            self.assertFalse(alike(found))
            self.assertIsNone(found["changes_per_s"])


class TurnTest(unittest.TestCase):
    def turn(self, strategy, asked, *watts):
        clock = Clock()
        played, watch = Engine(clock, length=256), types.SimpleNamespace(take=lambda: ([], []))
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "thermoe.json"
            options = two_gpus.arguments(["--out", str(file.with_name("out.json"))])
            with contextlib.redirect_stderr(io.StringIO()) as told, unittest.mock.patch.dict(os.environ, THERMOE_CONFIG=str(file)):
                found = two_gpus.turn(options, Server(played, played.add, clock, clock.sleep), watch,
                                      [Counter(clock, lambda at, w=one: w) for one in watts], strategy, 20.0, asked)
            self.assertEqual(json.loads(file.read_text()), found["settings"])
        self.assertEqual(played.running, {})  # ranks are asked for their steps next
        self.assertTrue(told.getvalue().startswith(f"vllm_proof: {strategy}: W {watts[0]:.4g} {watts[1]:.4g}, "))
        return json.loads(json.dumps(found))

    def test_each_gpus_watts_are_held_against_one_cap(self):
        found = self.turn("ours", figures.Asked(300.0, 12.0), 290.0, 330.0)
        self.assertAlmostEqual(found["settings"]["power_w"], 0.985 * 300.0)
        self.assertAlmostEqual(found["settings"]["time_per_token_ms"], 0.82 * 12.0)
        self.assertEqual([gpu["violations"] for gpu in found["gpus"]], [0.0, 1.0])
        self.assertAlmostEqual(found["gpus"][1]["mean_over_cap"], 1.1, delta=0.002)
        self.assertAlmostEqual(found["sum_w"], 620.0, delta=1.0)
        self.assertEqual(len(found["gpus"][0]["watts_by_second"]), 28)
        self.assertGreater(found["tokens_per_s"], 500)

    def test_without_a_cap_nothing_is_asked_and_nothing_violated(self):
        found = self.turn("lambda0", figures.Asked(), 400.0, 410.0)
        self.assertFalse({"power_w", "time_per_token_ms"} & set(found["settings"]))
        self.assertNotIn("violations", found["gpus"][0])


class CommandTest(unittest.TestCase):
    def test_bad_arguments_are_told(self):
        tool = [sys.executable, ROOT / "tools/vllm_proof/two_gpus.py", "--out"]
        for words, said in ((["/none/out.json"], "--out /none/out.json: its folder does not exist"),
                            (["out.json", "--rate", "0"], "--rate 0.0: expected a positive number"),
                            (["out.json", "--latency-aim", "-1"], "--latency-aim -1.0: expected 0 or"),
                            (["out.json", "--strategy", "lambda0"], "invalid choice: 'lambda0'")):
            done = subprocess.run([*tool, *words], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 2, done.stderr)
            self.assertIn(said, done.stderr)
            self.assertNotIn("Traceback", done.stderr)


if __name__ == "__main__":
    unittest.main()
