# SPDX-License-Identifier: Apache-2.0
"""data/h100/vllm_steps.csv is what the converter makes of the measurement."""
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOL = ROOT / "tools" / "vllm_step_rows.py"
MEASURED = ROOT / "data" / "h100" / "vllm_steering.json"


class VllmStepRows(unittest.TestCase):
    def test_the_committed_rows_are_those_of_the_measurement(self):
        made = subprocess.run([sys.executable, TOOL, MEASURED], capture_output=True, text=True, check=True)
        self.assertEqual(made.stdout, (ROOT / "data" / "h100" / "vllm_steps.csv").read_text(encoding="utf-8"))

    def test_without_a_file_it_says_how_it_is_called(self):
        told = subprocess.run([sys.executable, TOOL], capture_output=True, text=True, check=False)
        self.assertNotEqual(told.returncode, 0)
        self.assertIn("vllm_steering.json >", told.stderr)


if __name__ == "__main__":
    unittest.main()
