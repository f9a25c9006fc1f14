#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Kernel results are joined into one file, and its page says what is in it and nothing else."""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "kernel_results.py"


def row(op, impl, median, **changes):
    shape = changes.pop("shape", {"tokens": 16, "active": 82, "weights": "bf16", "d_ff": 768})
    values = {"op": op, "shape": shape, "impl": impl, "median_us": median, "p10_us": median - 1, "p90_us": median + 2,
              "floor_us": None, "joules": None, "watts": None, "samples": 25, "calls": 128}
    return {**values, **changes}


GPU = {"schema": 1, "device": "NVIDIA H100 80GB HBM3", "driver": "580.1", "cuda": "13.0", "torch": None,
       "clocks": {"sm_mhz": {"least": 1905.0, "median": 1980.0, "most": 1980.0}, "memory_mhz": None}, "commit": "abc",
       "command": "gpu_bench", "complete": True, "bytes_per_second": 2e12, "left_out": [],
       "rows": [row("grouped_experts", "cuda", 290.0, floor_us=250.0, joules=0.15, watts=520.0)]}
TORCH = {"schema": 1, "device": "NVIDIA H100 80GB HBM3", "torch": "2.11", "cuda": "13.0", "command": "torch_rows.py",
         "left_out": ["linear/torch: no such thing"],
         "rows": [{**row("grouped_experts", "torch", 355.0), "bytes": 600e6}]}


class KernelResults(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def run_tool(self, gpu, torch, *arguments):
        (self.folder / "gpu.json").write_text(json.dumps(gpu))
        (self.folder / "torch.json").write_text(json.dumps(torch))
        return subprocess.run([sys.executable, TOOL, self.folder / "gpu.json", self.folder / "torch.json", *arguments],
                              capture_output=True, text=True, check=False)

    def page(self, **changes):
        done = self.run_tool({**GPU, **changes}, TORCH)
        self.assertEqual(done.returncode, 0, done.stderr)
        return done.stdout

    def test_rows_beside_have_their_floor_by_the_bandwidth_that_was_measured(self):
        out = self.folder / "kernels"
        self.assertEqual(self.run_tool(GPU, TORCH, "--out", out).returncode, 0)
        result = json.loads((self.folder / "kernels.json").read_text())
        self.assertEqual([r["floor_us"] for r in result["rows"]], [250.0, 300.0])
        self.assertEqual(result["torch"], "2.11")
        self.assertEqual(result["command"], "gpu_bench && torch_rows.py")
        self.assertNotIn("bytes", result["rows"][1])

    def test_a_speed_that_was_asked_for_is_met_or_missed(self):
        self.assertIn("| grouped_experts | tokens 16, active 82, weights bf16, d ff 768 | cuda | 290 (289..292) | 250 | "
                      "1.16 | ≤ 301.4 | met |", self.page())
        self.assertIn("| ≤ 301.4 | **missed** |", self.page(rows=[row("grouped_experts", "cuda", 301.5)]))
        self.assertNotIn("First speeds", self.page(rows=[row("grouped_experts", "torch", 1.0)]))

    def test_a_line_a_variant_and_a_column_a_batch_with_joules_where_they_were_measured(self):
        page = self.page(rows=[*GPU["rows"], row("grouped_experts", "cuda", 40.0,
                                                 shape={"tokens": 1, "active": 8, "weights": "bf16", "d_ff": 768})])
        self.assertIn("| shape | by | T = 1, D = 8 | T = 16, D = 82 |", page)
        self.assertIn("All: weights bf16, d ff 768.", page)
        self.assertIn("| – | cuda | 40 | 290 (150) |", page)
        self.assertIn("| – | torch | – | 355 |", page)

    def test_what_could_not_run_is_said(self):
        self.assertIn("Left out, as they could not run: linear/torch: no such thing.", self.page())

    def test_what_people_wrote_on_the_page_stays(self):
        out = self.folder / "kernels"
        self.run_tool(GPU, TORCH, "--out", out)
        page = self.folder / "kernels.md"
        page.write_text(page.read_text() + "\nThe profile says: stalls.\n")
        self.run_tool({**GPU, "commit": "def"}, TORCH, "--out", out)
        self.assertIn("commit def", page.read_text())
        self.assertTrue(page.read_text().endswith("<!-- written by hand -->\n\nThe profile says: stalls.\n"))

    def test_results_of_two_devices_are_not_joined(self):
        done = self.run_tool(GPU, {**TORCH, "device": "NVIDIA H200"})
        self.assertEqual(done.returncode, 1)
        self.assertIn("different devices", done.stderr)


if __name__ == "__main__":
    unittest.main()
