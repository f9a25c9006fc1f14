# SPDX-License-Identifier: Apache-2.0
"""The measured figures that docs/theory.md states are those of the files that it names."""

import csv
import json
import re
import unittest
from pathlib import Path

from theory_math import envelope, interpolated, line_fit

REPOSITORY = Path(__file__).resolve().parents[2]


def read(path):
    return json.loads((REPOSITORY / path).read_text(encoding="utf-8"))


def row_of(name):
    """Text of the row of section 1's table of assumptions that begins with this name."""
    theory = (REPOSITORY / "docs/theory.md").read_text(encoding="utf-8")
    (row,) = re.findall(rf"^\| {name} \|.*$", theory, re.MULTILINE)
    return row


class Assumptions(unittest.TestCase):
    def assert_says(self, name, *figures):
        row = row_of(name)
        for figure in figures:
            self.assertIn(figure, row)

    def test_a1_time_of_a_layer_of_experts_is_a_straight_line_in_active_experts(self):
        rows = [r for r in read("docs/results/kernels-h100.json")["rows"]
                if r["op"] == "grouped_experts" and r["impl"] == "cuda" and r["shape"].get("weights") == "bf16"
                and r["shape"]["tokens"] == 16 and r["shape"]["experts"] == 128]
        points = sorted((r["shape"]["active"], r["median_us"]) for r in rows)
        self.assertGreaterEqual(len(points), 4)
        constant, slope, worst = line_fit(points)
        self.assert_says("A1", f"{constant:.1f} µs + {slope:.2f} µs", f"{100 * worst:.1f} %")
        _, joules, far = line_fit(sorted((r["shape"]["active"], 1e3 * r["joules"]) for r in rows))
        self.assert_says("A1", f"{joules:.2f} mJ", f"{100 * far:.1f} %")

    def test_a2_watts_at_a_fixed_rate_are_a_straight_line_in_active_experts(self):
        runs = [r for r in read("data/h100/moe_decode_energy.json")["open_loop_fixed_rate"] if r["period_ms"] > 0]
        constant, slope, worst = line_fit([(r["D"], r["W"]) for r in runs])
        self.assert_says("A2", f"{constant:.0f} W + {slope:.2f} W", f"{100 * worst:.1f} %")
        keys, wanted = ("costed_as", "expert_type", "batch", "tokens_per_second"), ("Qwen3-30B-A3B", "simple", 16, 1000)
        (load,) = [u for u in read("docs/results/closed-loop-h100.json")["utilisation"] if tuple(u[k] for k in keys) == wanted]
        windows = [(b["active_experts"], b["power_w"]) for b in load["bins"] if b["windows"] >= 10 for _ in range(b["windows"])]
        constant, slope, worst = line_fit(windows)
        self.assert_says("A2", f"{len(windows)} windows", f"{constant:.0f} W + {slope:.2f} W", f"{100 * worst:.1f} %")

    def test_a3_at_saturation_halving_active_experts_hardly_moves_watts(self):
        full, half = (r for r in read("data/h100/moe_decode_energy.json")["open_loop_fixed_rate"]
                      if r["period_ms"] == 0)
        self.assert_says("A3", f"{full['W']:.0f} to {half['W']:.0f} W",
                         f"{full['J_per_token']:.3f} to {half['J_per_token']:.3f} J")

    def test_a4_expert_tables_are_near_their_envelopes_and_some_small_ops_are_not(self):
        worst = {}
        for table in read("data/h100/kernel_cost_model.json")["entries"]:
            lines = {}
            for row in table["rows"]:
                if table["op"] == "moe_experts":
                    lines.setdefault(row["tokens"], []).append((row["active_experts"], row))
                else:
                    lines.setdefault(None, []).append((row["tokens"], row))
            for points in lines.values():
                for quantity in ("latency_us", "energy_uj"):
                    curve = [(x, row[quantity]) for x, row in points if row.get(quantity) is not None]
                    if len(curve) < 3:
                        continue
                    hull = envelope(curve)
                    distance = max((y - interpolated(hull, x)) / y for x, y in curve)
                    key = (table["op"], quantity)
                    worst[key] = max(worst.get(key, 0), distance)
        self.assert_says("A4", f"{100 * worst['moe_experts', 'energy_uj']:.1f} %",
                         f"{100 * worst['moe_experts', 'latency_us']:.1f} %",
                         f"{100 * worst['fused_dequant_linear', 'latency_us']:.0f} %")

    def test_a5_whole_steps_of_an_engine_are_straight_lines_in_active_experts(self):
        with (REPOSITORY / "data/h100/vllm_steps.csv").open(encoding="utf-8") as file:
            rows = list(csv.DictReader(line for line in file if not line.startswith("#")))
        for column, unit in (("step_ms", "ms"), ("step_j", "J")):
            constant, slope, worst = line_fit([(float(r["active_experts"]), float(r[column])) for r in rows])
            self.assert_says("A5", f"{constant:.2f} {unit} + {slope:.3f} {unit}", f"{100 * worst:.1f} %")

    def test_a8_one_pole_stands_for_three(self):
        plant = read("data/h100/plant.json")
        poles = " / ".join(f"{pole['tau_s']:.2g}" for pole in plant["thermal"]["poles"])
        fit = plant["controller_thermal"]["fit"]
        self.assert_says("A8", poles, f"{plant['controller_thermal']['time_constant_s']:.2f} s",
                         f"{fit['rmse_c']:.2f} °C", f"{fit['max_error_c']:.1f} °C")


if __name__ == "__main__":
    unittest.main()
