#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Steps on a GPU machine are run once, resumed, ended in time and kept, whatever becomes of them."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "measure_on_gpu"
BESIDE = ("gpu_pack.py", "gpu_steps.py", "kernels_on_gpu.py", "run_folders.py")

# Plays `thermoe run`: notes what it was asked, and leaves a run in --out whose BASELINE drew 400 W and then 480 W. And
# `thermoe profile`, which adds to its folder's records.
THERMOE = """#!/bin/sh
echo "$@" >> "$CALLS"
case "$*" in *"$FAILS"*) echo "the device is gone"; exit 1;; esac
case "$*" in *"$SLEEPS"*) exec sleep 60;; esac
for word in "$@"; do last=$word; done
mkdir -p "$last"
if [ "$1" = profile ]; then
  echo '{"kind":"time"}' >> "$last/records.jsonl"
  case "$*" in *--energy*) echo '{"kind":"energy"}' >> "$last/records.jsonl";; esac
  exit 0
fi
cp "$2" "$last/experiment.json"
echo "$@" > "$last/words"
echo '{}' > "$last/cost_model.json"
case "$*" in *"$MADE_UP"*) made_up=true;; *) made_up=false;; esac
echo '{"simulated": '$made_up'}' > "$last/config.json"
echo '{}' > "$last/summary.json"
echo page > "$last/report.html"
echo "strategy,time_s,temperature_c,step_time_ms,power_true_w" > "$last/metrics.csv"
for t in 10 20 30 40 50 60; do
  if [ $t -gt 30 ]; then w=480 c=60; else w=400 c=40; fi
  echo "BASELINE,$t,$c,8,$w" >> "$last/metrics.csv"
done
"""
TESTS = """#!/bin/sh
echo '[==========] 3 tests from 1 test suite ran. (1 ms total)'
echo '[  PASSED  ] 3 tests.'
"""


def program(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


class Folder(unittest.TestCase):
    tool = TOOL

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)


class Running(Folder):
    def setUp(self):
        super().setUp()
        self.pack, self.out = self.folder / "pack", self.folder / "out"
        program(self.pack / "bin/thermoe", THERMOE)
        for name in ("kernels", "moe", "machine", "profile"):
            program(self.pack / f"bin/{name}_gpu_tests", TESTS)
        (self.folder / "torch/lib").mkdir(parents=True)
        self.card("GPU-1234")
        (self.pack / "pack.json").write_text(json.dumps({"schema": 1, "commit": "abc"}))
        for name in ("cap", "cap_adapter", "temperature", "latency", "trace", "saturated", "quantized", "high_complexity",
                     "small_batch", "large_batch"):
            path = self.pack / f"experiments/gpu_{name}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"name": f"gpu_{name}", "batch": 16, "targets": {"power_w": 350}}))

    def card(self, uuid):
        program(self.folder / "path/nvidia-smi", f"#!/bin/sh\necho 'NVIDIA H100 80GB HBM3, 580.1, {uuid}'\n")

    def words(self, run, where=""):
        return (self.out / where / "runs" / run / "words").read_text()

    def run_tool(self, *arguments, **environment):
        return subprocess.run(
            [sys.executable, self.tool, "run", "--pack", self.pack, "--out", self.out, *map(str, arguments)],
            capture_output=True, text=True, check=False,
            env={**os.environ, "PATH": f"{self.folder / 'path'}:{os.environ['PATH']}", "CALLS": str(self.folder / "calls"),
                 "FAILS": "nothing does", "SLEEPS": "nothing does", "MADE_UP": "--machine simulated", "THERMOE_TORCH_DIR": str(self.folder / "torch"),
                 **environment})

    def calls(self):
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def step(self, name, where=""):
        return json.loads((self.out / where / "steps" / f"{name}.json").read_text())

    def test_a_step_says_what_ran_on_what_and_how_it_ended(self):
        done = self.run_tool("--only", "cap-2")  # cap-1 has not calibrated
        self.assertEqual(done.returncode, 0, done.stderr)
        step = self.step("cap-2")
        self.assertEqual({key: step[key] for key in ("passed", "exit_code", "device", "driver", "commit", "command")},
                         {"passed": True, "exit_code": 0, "device": "NVIDIA H100 80GB HBM3", "driver": "580.1", "commit": "abc",
                          "command": "thermoe run experiments/gpu_cap.json --round 2 --calibrate --machine gpu --no-report "
                                     "--out runs/cap-2"})
        self.assertNotIn("1234", json.dumps(step))  # the card's own number stays on its machine
        self.assertEqual(json.loads((self.out / "runs/cap-2/measured.json").read_text())["card"], step["card"])

    def test_what_passed_is_not_run_again_and_what_failed_is(self):
        failed = self.run_tool("--only", "cap-1", "cap-2", FAILS="--round 1")
        self.assertEqual(failed.returncode, 1)
        self.assertIn("cap-1 failed", failed.stderr)
        self.assertIn("cap-1.log says how", failed.stderr)
        self.assertIn("the device is gone", (self.out / "steps/cap-1.log").read_text())
        self.assertEqual((self.step("cap-1")["passed"], self.step("cap-1")["exit_code"]), (False, 1))
        self.assertTrue(self.step("cap-2")["passed"])
        self.assertEqual(self.run_tool("--only", "cap-1", "cap-2").returncode, 0)
        self.assertEqual([call.split("--round ")[1][0] for call in self.calls()], ["1", "2", "1"])

    def test_a_step_that_was_cut_off_is_run_from_its_start(self):
        (self.out / "steps").mkdir(parents=True)
        (self.out / "steps/cap-1.json").write_text('{"passed": tr')
        (self.out / "runs/cap-1").mkdir(parents=True)
        (self.out / "runs/cap-1/torn.csv").write_text("1,2")
        (self.out / "runs/cap-10").mkdir()  # another step's
        self.assertEqual(self.run_tool("--only", "cap-1").returncode, 0)
        self.assertFalse((self.out / "runs/cap-1/torn.csv").exists())
        self.assertTrue((self.out / "runs/cap-10").exists())

    def test_the_budget_leaves_what_does_not_fit_for_the_next_call(self):
        done = self.run_tool("--only", "machine_gpu_tests", "cap-1", "cap-2", "--budget", 300)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("the budget ends before cap-1 (450 s); left: cap-1, cap-2", done.stdout)
        self.assertEqual((self.step("machine_gpu_tests")["passed_tests"], self.calls()), (3, []))

    def test_a_run_that_takes_too_long_is_ended_and_has_failed(self):
        self.tool = self.folder / "measure_on_gpu"
        self.tool.write_text(TOOL.read_text().replace("ENDED_AFTER_S = 540.0", "ENDED_AFTER_S = 1.0"))
        for name in BESIDE:
            shutil.copy(TOOL.parent / name, self.folder)
        done = self.run_tool("--only", "cap-1", SLEEPS="--round 1")
        self.assertEqual(done.returncode, 1)
        step = self.step("cap-1")
        self.assertEqual((step["passed"], step["exit_code"]), (False, 124))
        self.assertLess(step["seconds"], 50)

    def test_the_list_says_what_is_left_and_runs_nothing(self):
        self.run_tool("--only", "machine_gpu_tests")
        done = self.run_tool("--list", "--only", "machine_gpu_tests", "cap-1")
        self.assertEqual(done.returncode, 0)
        self.assertEqual([line.split() for line in done.stdout.splitlines()],
                         [["machine_gpu_tests", "70", "s", "passed"], ["cap-1", "450", "s", "left"]])
        self.assertEqual(self.calls(), [])

    def test_tests_are_run_again_at_another_commit_and_runs_are_not(self):
        self.run_tool("--only", "machine_gpu_tests", "cap-1")
        (self.pack / "pack.json").write_text(json.dumps({"schema": 1, "commit": "def"}))
        done = self.run_tool("--list", "--only", "machine_gpu_tests", "cap-1")
        self.assertEqual([line.split()[-1] for line in done.stdout.splitlines()], ["left", "passed"])

    def test_every_step_takes_eight_minutes_at_most(self):
        for line in self.run_tool("--list").stdout.splitlines():
            self.assertLessEqual(float(line.split()[1]), 480, line)

    def test_a_cap_is_made_from_what_baseline_drew_at_its_end_in_the_same_step(self):
        self.assertEqual(self.run_tool("--only", "temperature", "latency", "trace").returncode, 0)
        for run, flag in (("temperature", "--temperature-cap 58 "), ("latency", "--step-cap 6 "), ("trace", "--power-cap 360 ")):
            self.assertIn(flag, self.words(run))
            self.assertNotIn("-cap", self.words(f"{run}-baseline").replace("gpu_cap", ""))
        self.assertEqual(json.loads((self.out / "runs/trace-baseline/experiment.json").read_text())["targets"], {})

    def test_a_step_whose_baseline_failed_makes_no_cap(self):
        done = self.run_tool("--only", "temperature", FAILS="--strategy BASELINE")
        self.assertEqual(done.returncode, 1)
        self.assertEqual(len(self.calls()), 1)

    def test_a_baseline_that_left_no_figures_fails_the_step_and_says_why(self):
        program(self.pack / "bin/thermoe", THERMOE.split("echo \"strategy")[0])
        self.assertEqual(self.run_tool("--only", "temperature").returncode, 1)
        self.assertFalse(self.step("temperature")["passed"])
        self.assertIn("metrics.csv", (self.out / "steps/temperature.log").read_text())

    def test_a_calibration_serves_the_runs_that_follow_on_the_same_card_only(self):
        self.run_tool("--only", "cap-1", "cap-2")
        self.assertIn("--calibrate", self.words("cap-1"))
        self.assertIn(f"--cost-model {self.out.resolve()}/runs/cap-1/cost_model.json", self.words("cap-2"))
        self.card("GPU-5678")
        self.run_tool("--only", "cap-3", "workloads")  # cap-3's serves those that name cap-1 as it does
        self.assertIn("--calibrate", self.words("cap-3"))
        self.assertIn(f"--cost-model {self.out.resolve()}/runs/cap-3/cost_model.json", self.words("workload-standard"))

    def test_runs_of_a_step_differ_by_what_the_table_changes(self):
        self.assertEqual(self.run_tool("--only", "workloads", "prices").returncode, 0)
        standard = json.loads((self.out / "runs/workload-standard/experiment.json").read_text())
        self.assertEqual((standard["workload"], standard["name"], standard["batch"]), ("standard", "gpu_high_complexity-standard", 16))
        self.assertIn("--price 0.002", self.words("prices-0.002"))
        self.assertNotIn("--calibrate", self.words("prices-0.002"))

    def test_tests_that_were_all_skipped_did_not_pass(self):
        program(self.pack / "bin/moe_gpu_tests", "#!/bin/sh\necho 'a/needs_cuda_device.cpp:13: Skipped'\necho 'no device'\n" +
                TESTS.split("\n", 1)[1])
        self.assertEqual(self.run_tool("--only", "moe_gpu_tests").returncode, 1)
        self.assertEqual((self.step("moe_gpu_tests")["passed"], self.step("moe_gpu_tests")["skipped"]), (False, "no device"))

    def test_simulated_twins_run_without_the_gpus_flags_beside_the_real_runs(self):
        self.assertEqual(self.run_tool("--only", "cap-1", "moe_gpu_tests", "--simulated").returncode, 0)
        self.assertEqual(len(self.calls()), 1)
        self.assertIn("--machine simulated", self.calls()[0])
        self.assertNotIn("--calibrate", self.calls()[0])
        self.assertTrue(self.step("cap-1", "simulated")["passed"])
        self.assertFalse((self.out / "runs").exists())

    def test_refitted_twins_cost_what_a_real_run_calibrated(self):
        self.assertEqual(self.run_tool("--only", "cap-1", "--simulated", "--refit", "cap-1").returncode, 2)
        self.run_tool("--only", "cap-1")
        model = self.out / "runs/cap-1/cost_model.json"
        model.write_text("{}")
        self.assertEqual(self.run_tool("--only", "cap-1", "--simulated", "--refit", "cap-1").returncode, 0)
        experiment = json.loads((self.out / "refitted/experiments/cap-1.json").read_text())
        self.assertEqual((experiment["name"], experiment["plant"]["cost_model"]), ("gpu_cap", str(model)))
        self.assertTrue(self.step("cap-1", "refitted")["passed"])
        self.assertEqual(self.run_tool("--only", "cap-1", "--refit", "cap-1").returncode, 2)

    def test_a_run_that_was_simulated_does_not_pass_for_a_real_one(self):
        self.assertEqual(self.run_tool("--only", "cap-1", MADE_UP="--machine gpu").returncode, 1)
        self.assertFalse(self.step("cap-1")["passed"])
        self.assertIn("/simulated is true", (self.out / "steps/cap-1.log").read_text())

    def profiled(self, card):
        """Records and commits of a card's folder."""
        folder = self.out / "profiles" / card
        return ((folder / "records.jsonl").read_text().splitlines(),
                json.loads((folder / "measured.json").read_text())["commits"])

    def test_profiles_of_a_card_go_on_in_one_folder(self):
        failed = self.run_tool("--only", "profile-1", "profile-2", FAILS="--thermal")
        self.assertEqual((failed.returncode, self.step("profile-1")["passed"]), (1, True))
        (self.pack / "pack.json").write_text(json.dumps({"schema": 1, "commit": "def"}))
        self.assertEqual(self.run_tool("--only", "profile-1", "profile-2").returncode, 0)
        self.assertEqual([call.split()[0] for call in self.calls()], ["profile"] * 3)
        card = self.step("profile-1")["card"]
        for call in self.calls():
            self.assertTrue(call.endswith(f" --kernels cuda --out {self.out.resolve()}/profiles/{card}"), call)
        self.assertEqual(self.profiled(card), (['{"kind":"time"}', '{"kind":"time"}', '{"kind":"energy"}'], ["abc", "def"]))
        self.assertIn("--out profiles/", self.step("profile-2")["command"])
        with tarfile.open(self.out / "results-1.tgz") as tar:
            self.assertIn(f"profiles/{card}/records.jsonl", tar.getnames())

    def test_another_card_is_profiled_from_its_start(self):
        self.run_tool("--only", "profile-1", "cap-1")
        first = self.step("profile-1")["card"]
        self.card("GPU-5678")
        listed = self.run_tool("--list", "--only", "profile-1", "cap-1").stdout.splitlines()
        self.assertEqual([line.split()[-1] for line in listed], ["passed", "left"])  # in the table's order
        self.run_tool("--only", "profile-1")
        second = self.step("profile-1")["card"]
        self.assertNotEqual(first, second)
        self.assertEqual(len(self.profiled(first)[0]), len(self.profiled(second)[0]))

    def test_a_run_by_the_cards_profile_needs_one_of_this_card(self):
        self.run_tool("--only", "replay")
        self.assertEqual((self.calls(), self.step("replay")["passed"]), ([], False))
        self.assertIn("the profile steps, on this card, write it", (self.out / "steps/replay.log").read_text())
        self.run_tool("--only", "profile-2", "replay")
        folder = self.out.resolve() / "profiles" / self.step("profile-2")["card"]
        (folder / "kernel_cost_model.json").write_text("{}")
        self.assertEqual(self.run_tool("--only", "replay").returncode, 0)
        self.assertIn(f"--cost-model {folder}/kernel_cost_model.json", self.calls()[-1])

    def test_a_profile_without_the_energies_that_it_was_asked_for_has_failed(self):
        program(self.pack / "bin/thermoe", THERMOE.replace('"kind":"energy"', '"kind":"time"'))
        self.assertEqual(self.run_tool("--only", "profile-1", "profile-4").returncode, 1)
        self.assertEqual((self.step("profile-1")["passed"], self.step("profile-4")["passed"]), (True, False))
        self.assertIn("no energy was measured", (self.out / "steps/profile-4.log").read_text())
        self.assertEqual(len(self.calls()), 2)  # its second profile is not begun

    def test_nothing_is_profiled_on_the_simulated_machine(self):
        self.assertEqual(self.run_tool("--only", "profile-1", "--simulated").returncode, 0)
        self.assertEqual(self.calls(), [])

    def test_results_come_back_in_one_archive_without_pages(self):
        self.run_tool("--only", "cap-1", "cap-2")
        with tarfile.open(self.out / "results-1.tgz") as tar:
            names = tar.getnames()
        self.assertEqual([name for name in names if name.startswith("steps")],
                         ["steps/cap-1.json", "steps/cap-1.log", "steps/cap-2.json", "steps/cap-2.log"])
        self.assertIn("runs/cap-2/metrics.csv", names)
        self.assertFalse([name for name in names if name.endswith("report.html")])

    def test_large_results_are_cut_into_parts_that_are_small_enough(self):
        self.run_tool("--only", "cap-1")
        for n in range(3):
            (self.out / f"runs/cap-1/noise{n}.bin").write_bytes(os.urandom(10 << 20))
        self.run_tool("--only", "cap-1")
        parts = sorted(self.out.glob("results-*.tgz"))
        self.assertEqual(len(parts), 3)
        self.assertLess(max(part.stat().st_size for part in parts), 16 << 20)
        names = []
        for part in parts:
            with tarfile.open(part) as tar:
                names += tar.getnames()
        self.assertEqual(len(names), len(set(names)))
        self.assertEqual(len([name for name in names if "noise" in name]), 3)

    def test_what_is_missing_is_named_with_its_remedy(self):
        (self.pack / "pack.json").unlink()
        done = self.run_tool("--list")
        self.assertEqual(done.returncode, 2)
        self.assertIn("unpack thermoe-pack.tar.xz", done.stderr)

    def test_a_torch_that_is_none_is_named(self):
        done = self.run_tool("--list", THERMOE_TORCH_DIR=str(self.folder))
        self.assertEqual(done.returncode, 2)
        self.assertIn(f"THERMOE_TORCH_DIR: {self.folder} has no lib", done.stderr)

    def test_a_step_that_there_is_not_is_refused(self):
        self.assertEqual(self.run_tool("--only", "cap-9").returncode, 2)


class Packing(Folder):
    """Of a small project's copy: the model takes long to pack."""

    def setUp(self):
        super().setUp()
        project = self.folder / "project"
        for path in ("tools/measure_on_gpu", *(f"tools/{name}" for name in BESIDE), "experiments/demo.json"):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / path, project / path)
        for path in ("model/thermoe.safetensors", "data/traces/README.md", "src/main.cpp"):
            (project / path).parent.mkdir(parents=True, exist_ok=True)
            (project / path).write_text("")
        for words in (["init", "-q"], ["add", "."], ["-c", "user.name=t", "-c", "user.email=t@t", "commit", "-qm", "t"]):
            subprocess.run(["git", *words], cwd=project, check=True)
        self.tool = project / "tools/measure_on_gpu"

    def pack(self, *arguments):
        return subprocess.run([sys.executable, self.tool, "pack", "--out", self.folder / "out", "--programs",
                               self.folder / "built", *arguments], capture_output=True, text=True, check=False)

    def test_the_archive_holds_programs_inputs_and_this_script_and_runs_when_unpacked(self):
        for name in ("thermoe", "kernels_gpu_tests", "moe_gpu_tests", "machine_gpu_tests", "profile_gpu_tests"):
            program(self.folder / "built" / name, "")
            (self.folder / "built" / name).write_bytes(pathlib.Path("/bin/true").read_bytes())
        trace = self.folder / "recorded.safetensors"
        trace.write_text("logits")
        done = self.pack("--trace", trace)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("MiB", done.stdout)
        with tarfile.open(self.folder / "out/thermoe-pack.tar.xz") as tar:
            tar.extractall(self.folder / "there")
        there = self.folder / "there/thermoe-pack"
        for path in ("bin/thermoe", "data/traces/recorded.safetensors", "model/thermoe.safetensors",
                     "experiments/demo.json", "tools/measure_on_gpu", "pack.json"):
            self.assertTrue((there / path).is_file(), path)
        self.assertFalse((there / "src").exists())
        (self.folder / "torch/lib").mkdir(parents=True)
        listed = subprocess.run([sys.executable, there / "tools/measure_on_gpu", "run", "--pack", there, "--out",
                                 self.folder / "measured", "--list"], capture_output=True, text=True, check=False,
                                env={**os.environ, "THERMOE_TORCH_DIR": str(self.folder / "torch")})
        self.assertEqual(listed.returncode, 0, listed.stderr)

    def test_a_program_that_was_not_built_is_named(self):
        (self.folder / "built").mkdir()
        done = self.pack()
        self.assertEqual(done.returncode, 2)
        self.assertIn("no thermoe under", done.stderr)


if __name__ == "__main__":
    unittest.main()
