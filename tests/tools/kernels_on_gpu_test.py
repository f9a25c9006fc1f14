#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a run on a GPU says which tests passed, and not that they did where none ran."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "kernels_on_gpu.py"


class KernelsOnGpu(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_tests(self, output, *arguments):
        """The tool on a test program that says `output`, and the step that it keeps."""
        for name in ("kernels_gpu_tests", "gpu_bench"):
            program = self.folder / name
            program.write_text(f"#!/bin/sh\ncat <<'END'\n{output}\nEND\n")
            program.chmod(0o755)
        done = subprocess.run([sys.executable, TOOL, "--programs", self.folder, "--commit", "abc", "--out", self.folder,
                               "--only", *(arguments or ["tests"])], capture_output=True, text=True, check=False)
        kept = self.folder / "kernels_gpu_tests.json"
        return done, json.loads(kept.read_text())["steps"][0] if kept.exists() else None

    def test_tests_that_ran_are_counted(self):
        done, step = self.run_tests("[==========] 3 tests from 1 test suite ran. (1 ms total)\n[  PASSED  ] 3 tests.")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual((step["passed"], step["tests"], step["passed_tests"]), (True, 3, 3))

    def test_a_program_that_skipped_them_all_did_not_pass(self):
        done, step = self.run_tests("tests/kernels/needs_cuda_device.cpp:13: Skipped\nthis machine has no CUDA device\n"
                                    "[==========] 3 tests from 1 test suite ran. (0 ms total)\n[  PASSED  ] 3 tests.")
        self.assertEqual(done.returncode, 1)
        self.assertIn("tests.log says how", done.stderr)
        self.assertEqual((step["passed"], step["skipped"]), (False, "this machine has no CUDA device"))
        self.assertNotIn("passed_tests", step)

    def test_a_step_that_there_is_not_is_refused(self):
        done, step = self.run_tests("", "test")
        self.assertEqual((done.returncode, step), (2, None))
        self.assertIn("tests", done.stderr)


if __name__ == "__main__":
    unittest.main()
