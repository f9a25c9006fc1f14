#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The proof on a real vLLM, without one: a played engine, a played clock and a played counter of energy."""
import contextlib
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import types
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path[0:0] = [str(ROOT / "tools/vllm_proof"), str(ROOT / "tools")]

import figures  # noqa: E402
import serve  # noqa: E402
import trace_costs  # noqa: E402
import turns as proof  # noqa: E402
from arrivals import Server, number_of, poisson, prompt  # noqa: E402
from meter import Readings, read_csv  # noqa: E402
from run_folders import BadInput  # noqa: E402
from strategies import PLUGIN, settings  # noqa: E402
from tenant import PERIOD_S, work  # noqa: E402


class Clock:
    def __init__(self):
        self.now = 1000.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += max(seconds, 1e-4)


class Engine:
    """Gives every request a token a step of 10 ms, prompts in steps of 25 ms, as an engine whose outputs are deltas."""

    def __init__(self, clock, length):
        self.clock, self.length, self.running = clock, length, {}
        self.loses = False

    def add(self, key, name):
        self.running[key] = 0

    def step(self):
        fresh = any(tokens == 0 for tokens in self.running.values())
        self.clock.now += 0.025 if fresh else 0.010
        outputs = []
        for key in list(self.running):
            self.running[key] += 1
            done = self.running[key] == self.length
            outputs.append(types.SimpleNamespace(request_id=key, finished=done,
                                                 outputs=[types.SimpleNamespace(token_ids=[7])]))
            if done:
                del self.running[key]
        return outputs


class Counter:
    """A meter whose board draws what `watts(time)` says; its counter moves each 100 ms, and is read each 20."""

    def __init__(self, clock, watts):
        self.clock, self.watts, self.begun = clock, watts, clock.now

    def readings(self):
        rows, joules, number = [], 0.0, 0
        while (at := self.begun - 1.0 + 0.02 * number) <= self.clock.now + 1e-9:
            if number % 5 == 0:
                joules += 0.1 * self.watts(at)
            rows.append((at, joules, self.watts(at), 50.0, 1980.0, 0.0))
            number += 1
        return Readings(rows)


class Tenant:
    def __init__(self, clock):
        self.clock, self.works, self.turned = clock, False, []

    def set(self, works):
        if works != self.works:
            self.works = works
            self.turned.append((works, self.clock.now))


def options(folder, *more):
    return serve.arguments(["--side", "plugin", "--out", str(folder), "--seconds", "30", "--warm", "5", "--rounds", "1",
                            *map(str, more)])


class ArrivalsTest(unittest.TestCase):
    def test_arrivals_are_poisson_and_the_seed_alone_draws_them(self):
        times = poisson(3.0, 2000.0, "1 1")
        self.assertEqual(times, poisson(3.0, 2000.0, "1 1"))
        self.assertNotEqual(times, poisson(3.0, 2000.0, "1 2"))
        self.assertEqual(times, sorted(times))
        self.assertLess(abs(len(times) - 6000), 4 * 6000 ** 0.5)
        by_second = [0] * 2000
        for at in times:
            by_second[int(at)] += 1
        variance = sum((n - 3.0) ** 2 for n in by_second) / 2000
        self.assertLess(abs(variance - 3.0), 0.5)

    def test_a_request_has_its_prompt_and_its_name_under_every_strategy(self):
        self.assertEqual(prompt("1.7", 32, 50000), prompt("1.7", 32, 50000))
        self.assertNotEqual(prompt("1.7", 32, 50000), prompt("1.8", 32, 50000))
        self.assertEqual(len(prompt("1.7", 32, 50000)), 32)
        for engines in ("3/1.17", "3/1.17-0a1b2c3d", "12/1.17-ffffffff"):
            self.assertEqual(number_of(engines), "1.17")

    def test_requests_are_counted_from_when_they_were_due_to_their_last_token(self):
        clock = Clock()
        engine = Engine(clock, length=11)
        server = Server(engine, engine.add, clock, clock.sleep)
        begun = clock.now
        requests = server.serve(1, [0.0, 1.0], lambda i: f"1.{i}", begun + 3.0)
        self.assertTrue(all(r.finished and r.tokens == 11 for r in requests))
        self.assertAlmostEqual(requests[0].first - requests[0].due, 0.025, places=3)
        self.assertAlmostEqual(requests[0].between_tokens(), 0.010, places=6)
        steps = server.take_steps()
        self.assertEqual([s.mixed for s in steps[:3]], [True, False, False])
        self.assertEqual(sum(s.tokens for s in steps), 22)
        self.assertEqual(server.take_steps(), [])

    def test_requests_of_the_turn_before_go_on_and_are_not_the_next_ones(self):
        clock = Clock()
        engine = Engine(clock, length=100)
        server = Server(engine, engine.add, clock, clock.sleep)
        before = server.serve(1, [0.0], lambda i: f"1.{i}", clock.now + 0.5)
        self.assertFalse(before[0].finished)
        after = server.serve(2, [0.0], lambda i: f"1.{i}", clock.now + 0.2)
        self.assertFalse(after[0].finished)
        server.finish()
        self.assertTrue(before[0].finished and after[0].finished)
        self.assertEqual((before[0].tokens, after[0].tokens), (100, 100))


class FiguresTest(unittest.TestCase):
    WINDOW = figures.Window(begun=0.0, start=10.0, end=40.0, on=20.0, off=30.0)

    def readings(self, watts):
        clock = Clock()
        clock.now = 1.0
        counter = Counter(clock, watts)
        clock.now = 41.0
        return counter.readings()

    def test_watts_are_the_slope_of_the_counter(self):
        held = figures.power(self.readings(lambda at: 350.0 if 20.0 < at <= 30.0 else 320.0), self.WINDOW, 330.0)
        self.assertAlmostEqual(held["mean_w"], 330.0, delta=0.5)
        self.assertAlmostEqual(held["mean_without_tenant_w"], 320.0, delta=0.5)
        self.assertAlmostEqual(held["mean_with_tenant_w"], 350.0, delta=0.5)
        self.assertAlmostEqual(held["mean_over_cap"], 1.0, delta=0.005)
        self.assertEqual(held["violations_without_tenant"], 0.0)
        self.assertGreater(held["violations_with_tenant"], 0.85)
        self.assertAlmostEqual(held["joules"], 9900.0, delta=10.0)
        self.assertFalse(held["throttled"])

    def test_a_mean_of_a_second_above_the_cap_is_a_violation_and_a_shorter_peak_is_none(self):
        spike = figures.power(self.readings(lambda at: 480.0 if 15.0 < at <= 15.1 else 330.0), self.WINDOW, 330.0)
        self.assertEqual(spike["violations_without_tenant"], 0.0)
        long = figures.power(self.readings(lambda at: 400.0 if 12.0 < at <= 16.0 else 330.0), self.WINDOW, 330.0)
        self.assertGreater(long["violations_without_tenant"], 3.0 / 19.0)
        self.assertEqual(long["violations_with_tenant"], 0.0)

    def test_settling_is_from_the_switch_until_the_means_stay_for_five_seconds(self):
        held = figures.power(self.readings(lambda at: 450.0 if at < 4.0 else 330.0), self.WINDOW, 330.0)
        self.assertAlmostEqual(held["settling_s"], 4.9, delta=0.3)
        self.assertAlmostEqual(held["settling_with_tenant_s"], 0.1, delta=0.11)
        never = figures.power(self.readings(lambda at: 450.0 if at < 18.0 else 330.0), self.WINDOW, 330.0)
        self.assertIsNone(never["settling_s"])

    def test_without_a_counter_nothing_is_known_of_the_power(self):
        silent = figures.power(Readings([(0.1 * i, None, None, None, None, None) for i in range(500)]), self.WINDOW, 330.0)
        self.assertIsNone(silent["mean_w"])
        self.assertIsNone(silent["violations_without_tenant"])
        self.assertIsNone(silent["mean_over_cap"])

    def test_the_time_between_tokens_is_that_of_decode_steps_and_each_token_counts(self):
        from arrivals import Step
        steps = [Step(11.0, 4, False, (0.010,) * 4), Step(11.1, 5, True, (0.050,) * 4), Step(11.2, 1, False, (0.020,)),
                 Step(5.0, 1, False, (9.0,))]
        found = figures.latency(steps, self.WINDOW)
        self.assertEqual((found["decode_p50_ms"], found["decode_p99_ms"], found["p99_ms"]), (10.0, 20.0, 50.0))
        self.assertEqual((found["steps"], found["mixed_steps"], found["tokens"]), (3, 1, 10))
        self.assertAlmostEqual(found["batch"], 2.5)

    def test_a_late_step_is_told_apart_by_what_was_longer_in_it(self):
        def step(number, scheduled, launch=0.004, device=0.014, take=0.015, mixed=False):
            return figures.Report(at=scheduled + 0.03, tokens=4, rows=4, mixed=mixed, active_experts=30.0, step_ms=1e3 * device,
                                  number=number, scheduled=scheduled, launched=scheduled + launch, taken=scheduled + launch + take)
        steps = [step(n, 11.0 + 0.02 * n) for n in range(1, 100)]
        steps[39] = step(40, 11.0 + 0.02 * 40, launch=0.012, device=0.022)
        steps[79] = step(80, 11.0 + 0.02 * 80, mixed=True)
        untimed = figures.Report(at=14.0, tokens=4, rows=4, mixed=False, active_experts=30.0, step_ms=None, number=100)
        found = figures.host([*steps, untimed], self.WINDOW, 25.0)
        self.assertEqual((found["steps"], found["late"]), (96, 1))  # not the first, the mixed one, the one after it
        self.assertAlmostEqual(found["gap_p50_ms"], 20.0)
        self.assertAlmostEqual(found["launch_p50_ms"], 4.0)
        self.assertAlmostEqual(found["launch_p99_ms"], 12.0)
        self.assertEqual({name: round(ms, 6) for name, ms in found["late_by_ms"].items()},
                         {"period": 0.0, "launch": 8.0, "device": 8.0, "take": 0.0, "gap": 8.0})
        self.assertIsNone(figures.host([untimed], self.WINDOW, 25.0))
        self.assertEqual(figures.host(steps, self.WINDOW, None)["late"], 0)

    def test_quantiles_are_values_that_were_there(self):
        self.assertEqual(figures.quantile(range(1, 101), 0.99), 99)
        self.assertEqual(figures.quantile([5.0], 0.5), 5.0)
        self.assertIsNone(figures.quantile([], 0.5))

    def test_goodput_counts_requests_that_finished_in_time(self):
        from arrivals import Request
        fast = Request("a", 12.0, first=12.1, last=14.6, tokens=251, finished=True)
        slow = Request("b", 12.0, first=12.1, last=17.1, tokens=251, finished=True)
        late = Request("c", 39.0, first=39.1, last=42.0, tokens=251, finished=True)
        lost = Request("d", 39.5)
        found = figures.requests([fast, slow, late, lost], self.WINDOW, 15.0)
        self.assertEqual((found["asked"], found["finished"], found["done_in_window"]), (4, 3, 2))
        self.assertAlmostEqual(found["goodput_requests_per_s"], 1 / 30)
        self.assertAlmostEqual(found["first_token_p50_ms"], 100.0)


class MeterTest(unittest.TestCase):
    def test_a_torn_last_line_and_what_is_absent_are_no_readings(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "meter.csv"
            path.write_text("time_s,energy_j,power_1s_w,temperature_c,sm_mhz,throttle\n1.0,10.0,300.0,,1980,0\n"
                            "1.1,40.0,,50,1980,0\n1.2,70.0,300.0,50,1980,0\n1.3,1")
            readings = read_csv(path)
        self.assertAlmostEqual(readings.watts(1.0, 1.2), 300.0)
        self.assertIsNone(readings.watts(1.0, 1.3))
        self.assertEqual(readings.of("temperature_c", 0.0, 2.0), [50.0, 50.0])

    def test_the_counter_stands_still_between_its_updates(self):
        rows = [(0.02 * i, 30.0 * (i // 5), None, None, None, None) for i in range(100)]
        readings = Readings(rows)
        self.assertAlmostEqual(readings.watts(0.2, 1.2), 300.0, places=6)
        self.assertAlmostEqual(readings.watts(0.25, 1.27), 300.0, places=6)


class TenantTest(unittest.TestCase):
    def test_it_works_while_it_is_told_to_and_drops_what_it_cannot_do(self):
        clock, switch = Clock(), types.SimpleNamespace()
        ends = clock.now + 1.0
        switch.ended = types.SimpleNamespace(is_set=lambda: clock.now > ends)

        def wait(seconds):
            clock.now += seconds
        switch.works = types.SimpleNamespace(is_set=lambda: clock.now < ends - 0.5, wait=wait)
        calls = []

        def burst():
            calls.append(clock.now)
            clock.now += 0.001
        done, dropped = work(switch, burst, clock, clock.sleep)
        self.assertAlmostEqual(done, 0.5 / PERIOD_S, delta=2)
        self.assertEqual((done, dropped), (len(calls), 0))
        ends = clock.now + 1.0
        done, dropped = work(switch, lambda: setattr(clock, "now", clock.now + 3 * PERIOD_S), clock, clock.sleep)
        self.assertGreater(dropped, done)


class SettingsTest(unittest.TestCase):
    def test_only_the_baseline_has_no_target_and_all_are_switched_live(self):
        for name in PLUGIN:
            asked = settings(name, power_w=335.0, between_tokens_ms=19.0, cost_model="costs.json", costed_as="Qwen3-30B-A3B")
            self.assertNotIn("plan", asked)  # which cannot change to or from while an engine serves
            self.assertEqual("power_w" in asked, name != "lambda0")
            self.assertEqual("time_per_token_ms" in asked, name != "lambda0")
        strategies = [settings(n, power_w=1, between_tokens_ms=1, cost_model="c", costed_as="q")["config"]["strategy"] for n in PLUGIN]
        self.assertEqual(len(set(strategies)), len(PLUGIN))

    def test_the_costs_of_the_other_shape_are_lines_through_what_was_measured(self):
        base = json.loads((ROOT / "data/h100/vllm_cost_model.json").read_text())
        made = trace_costs.cost_model(base)
        self.assertEqual(made["entries"][0]["shape"], [32, 4, 2880, 2880])
        other = next(row for row in made["other"][0]["rows"] if row["batch"] == 16)

        def between(rows, active, key):
            low = max((row for row in rows if row["active_experts"] <= active), key=lambda row: row["active_experts"])
            return low[key] / low["active_experts"] * active
        for active, ms, joules in trace_costs.MEASURED:
            rows = made["entries"][0]["rows"]
            found_ms = 1e-3 * (24 * between(rows, active, "latency_us") + other["latency_us"])
            found_j = 1e-6 * (24 * between(rows, active, "energy_uj") + other["energy_uj"]) + 1e-3 * found_ms * base["idle_active_w"]
            self.assertAlmostEqual(found_ms, ms, delta=0.02 * ms)
            self.assertAlmostEqual(found_j, 16 * joules, delta=0.03 * 16 * joules)


class TurnsTest(unittest.TestCase):
    """Turns on a played engine."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.settings = self.folder / "thermoe.json"
        self.clock = Clock()
        self.engine = Engine(self.clock, length=256)
        self.tenant = Tenant(self.clock)

    def turns(self, chosen, watts=lambda at: 400.0):
        plan = proof.Plan(chosen, "qwen3-30b-a3b")
        server = Server(self.engine, self.engine.add, self.clock, self.clock.sleep)
        facts = {"card": "abcd1234", "device": "played"}
        return proof.Turns(chosen, serve.engine.QWEN, plan, server, Counter(self.clock, watts), self.tenant, None, None, facts)

    @contextlib.contextmanager
    def quiet(self):
        with contextlib.redirect_stderr(io.StringIO()), unittest.mock.patch.dict(os.environ, THERMOE_CONFIG=str(self.settings)):
            yield

    def run_all(self, turns):
        with self.quiet():
            for turn in turns.plan.turns:
                turns.run(*turn)
            turns.end()

    def stock(self):
        chosen = serve.arguments(["--side", "stock", "--out", str(self.folder), "--seconds", "30", "--warm", "5", "--rounds", "1"])
        self.run_all(self.turns(chosen))
        return json.loads((self.folder / "turns/qwen3-30b-a3b-1-stock.json").read_text())

    def test_cap_and_limit_of_a_round_are_its_stock_turns(self):
        stock = self.stock()
        self.assertTrue(stock["complete"])
        self.assertAlmostEqual(stock["power"]["mean_w"], 400.0, delta=0.5)
        self.assertEqual(stock["requests"]["asked"], stock["requests"]["finished"])
        self.run_all(self.turns(options(self.folder, "--strategies", "ours")))
        ours = json.loads((self.folder / "turns/qwen3-30b-a3b-1-ours.json").read_text())
        self.assertAlmostEqual(ours["asked"]["power_w"], 300.0, delta=0.5)
        self.assertEqual(ours["asked"]["between_tokens_ms"], stock["between_tokens"]["decode_p99_ms"])
        self.assertEqual(ours["settings"], json.loads(self.settings.read_text()))
        self.assertAlmostEqual(ours["settings"]["time_per_token_ms"], 0.82 * ours["asked"]["between_tokens_ms"])
        self.assertAlmostEqual(ours["settings"]["power_w"], 0.985 * ours["asked"]["power_w"])
        self.assertEqual(ours["requests"]["asked"], stock["requests"]["asked"])  # the same arrivals
        self.assertEqual(ours["power"]["violations_without_tenant"], 1.0)
        self.assertIsNone(ours["kept"])
        self.assertIsNone(ours["experts"]["active_experts"])

    def test_the_tenant_works_in_the_middle_third_of_what_is_measured(self):
        begun = self.clock.now
        self.stock()
        (on, at), (off, until) = self.tenant.turned
        self.assertEqual((on, off), (True, False))
        self.assertAlmostEqual(at - begun, 5 + 10, delta=0.1)
        self.assertAlmostEqual(until - begun, 5 + 20, delta=0.1)

    def test_without_a_stock_turn_there_is_no_cap_and_that_is_said(self):
        with self.assertRaisesRegex(BadInput, "qwen3-30b-a3b, round 1: no finished stock turn.*--have"):
            self.run_all(self.turns(options(self.folder, "--strategies", "ours")))

    def test_finished_turns_are_not_run_again_wherever_they_lie(self):
        self.stock()
        first = self.turns(options(self.folder, "--strategies", "lambda0", "ours"))
        self.assertEqual(first.plan.turns, [(1, "lambda0"), (1, "ours")])
        self.run_all(first)
        elsewhere = self.folder / "next"
        again = self.turns(options(elsewhere, "--have", self.folder, "--strategies", "lambda0", "ours", "pacing"))
        self.assertEqual(again.plan.turns, [(1, "pacing")])
        path = self.folder / "turns/qwen3-30b-a3b-1-ours.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "complete": False}))
        self.assertEqual(proof.Plan(options(self.folder, "--strategies", "lambda0", "ours"), "qwen3-30b-a3b").turns, [(1, "ours")])

    def test_a_turn_whose_requests_are_still_under_way_has_no_file(self):
        self.stock()
        turns = self.turns(options(self.folder, "--strategies", "lambda0"))
        with self.quiet():
            turns.run(1, "lambda0")
            turns.finish_pending()
            self.assertFalse((self.folder / "turns/qwen3-30b-a3b-1-lambda0.json").exists())
            turns.end()
        self.assertTrue((self.folder / "turns/qwen3-30b-a3b-1-lambda0.json").exists())

    def test_an_end_that_is_asked_for_keeps_what_is_finished(self):
        self.stock()
        turns = self.turns(options(self.folder, "--strategies", "lambda0", "ours"))
        with self.quiet():
            turns.run(1, "lambda0")
            counted = []

            def sometime():
                counted.append(1)
                turns.stop = len(counted) > 1000
            between, turns.between_steps = turns.between_steps, lambda window: (sometime(), between(window))
            with self.assertRaises(proof.Ended):
                turns.run(1, "ours")
        self.assertTrue((self.folder / "turns/qwen3-30b-a3b-1-lambda0.json").exists())
        self.assertFalse((self.folder / "turns/qwen3-30b-a3b-1-ours.json").exists())

    def test_a_turn_that_would_not_end_in_time_is_not_begun(self):
        plan = proof.Plan(options(self.folder, "--until", 2000), "qwen3-30b-a3b")
        self.assertTrue(plan.fits(2000 - 35 - proof.TAIL_S - 1))
        self.assertFalse(plan.fits(2000 - 35 - proof.TAIL_S + 1))
        self.assertTrue(proof.Plan(options(self.folder), "qwen3-30b-a3b").fits(1e12))

    def test_the_record_of_a_command_has_no_folders_of_the_machine(self):
        self.assertEqual(serve.shown(["--side", "stock", "--out", "/tmp/x/out", "--until", "17e8", "--gpu", "1"]),
                         ["--side", "stock", "--out", "out", "--gpu", "1"])

    def test_further_rounds_have_an_order_of_their_own(self):
        names = list(PLUGIN)
        self.assertEqual(proof.order_of_round(names, 1, 1), names)
        second = proof.order_of_round(names, 2, 1)
        self.assertEqual(sorted(second), sorted(names))
        self.assertEqual(second, proof.order_of_round(names, 2, 1))
        self.assertNotEqual(second, proof.order_of_round(names, 3, 1))


class CommandTest(unittest.TestCase):
    def refused(self, *words):
        done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 2, done.stderr)
        self.assertNotIn("Traceback", done.stderr)
        return done.stderr

    def test_bad_arguments_are_told(self):
        with tempfile.TemporaryDirectory() as folder:
            tool = (sys.executable, ROOT / "tools/vllm_proof/serve.py", "--out", folder)
            self.assertIn("--trace /none: no such file", self.refused(*tool, "--side", "stock", "--trace", "/none"))
            self.assertIn("--seconds 0.0: expected a positive number", self.refused(*tool, "--side", "stock", "--seconds", "0"))
            self.assertIn("no finished stock turn", self.refused(*tool, "--side", "plugin"))
            prove = (ROOT / "tools/vllm_proof/prove",)
            self.assertIn("--out is missing", self.refused(*prove))
            self.assertIn("no thermoe/ in it", self.refused(*prove, "--out", folder, "--package", folder))
            self.assertIn("unknown argument --rounds", self.refused(*prove, "--out", folder, "--rounds", "1"))

    def test_parts_run_one_after_the_other_and_what_would_not_fit_is_left(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            runner = folder / "run.sh"
            runner.write_text(f'echo "$PLUGIN_PATH|$*" >> {folder}/calls; echo "vllm_proof: well" >&2; exit $(cat {folder}/code)\n')
            (folder / "code").write_text("0")
            (folder / "package/thermoe").mkdir(parents=True)
            words = [ROOT / "tools/vllm_proof/prove", "--out", folder / "out", "--runner", runner, "--package", folder / "package",
                     "--have", folder / "before"]
            done = subprocess.run([*words, "--", "--rounds", "1"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            calls = (folder / "calls").read_text().splitlines()
            self.assertEqual([call.partition("|")[0] for call in calls], ["", str(folder / "package"), str(folder / "package"), ""])
            self.assertEqual([call.split("--side ")[1].split()[0] for call in calls], ["stock", "plugin", "free", "again"])
            self.assertTrue(all(f"--have {folder}/before" in call and call.endswith("--rounds 1") for call in calls))
            (folder / "code").write_text("1")
            done = subprocess.run([*words, "--only", "stock", "--budget", "95"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertRegex((folder / "calls").read_text().splitlines()[-1], r"--until [0-9]{10}$")
            done = subprocess.run([*words, "--budget", "80"], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn("the budget ends before stock", done.stderr)
            self.assertEqual(len((folder / "calls").read_text().splitlines()), 5)


if __name__ == "__main__":
    random.seed(1)
    unittest.main()
