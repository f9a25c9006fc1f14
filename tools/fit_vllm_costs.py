#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Fits what a step of vLLM costs, by active experts and rows, to data/h100/vllm_steering.json
alone, and writes data/h100/vllm_cost_model.json (schema of docs/adr/0005-cost-schema.md). docs/serving.md says
what the laws are and what the steering runs cannot tell.

  tools/fit_vllm_costs.py                   write the file into data/h100
  tools/fit_vllm_costs.py --check           exit 1 if the file there is not what this would write
  tools/fit_vllm_costs.py --data D --out O  read from D, write into O
"""
import argparse
import json
import statistics
import sys
from pathlib import Path

import derive_cost_model as derive

STEERING_FILE = "vllm_steering.json"
COST_FILE = "vllm_cost_model.json"
LAYERS = derive.LAYERS
STREAMS = 16          # in flight all the time in the steering runs
REFERENCE_C = 50      # of the die, about that of the steering runs
IDLE_C = 48           # thermal_trace.csv, end of idle3: 130.6 W
IDLE_AT_IDLE_C_W = 130.6
BATCHES = (1, STREAMS, 64)  # at which the costs beside the experts are written: a line in rows
EXPERT_ROWS = (8, 24, 39, 64, 78, 128)


def idle_law(data, steering):
    """Watts of active idle by degrees: the trace's slope, through the idle that was measured before the steering
    runs. That one has no temperature; it gets the one that the trace has at its watts."""
    slope = derive.idle_slope(data)
    idle_c = IDLE_C + (steering["idle_w"] - IDLE_AT_IDLE_C_W) / slope
    return lambda celsius: steering["idle_w"] + slope * (celsius - idle_c)


def line(points):
    """(constant, slope) by least squares."""
    fit = statistics.linear_regression([x for x, _ in points], [y for _, y in points])
    return fit.intercept, fit.slope


def runs_of(steering):
    """The runs over 1400 steps whose active experts were counted."""
    return [run for run in steering["allowed_experts"].values() if run["seen"]]


def time_law(steering):
    """Milliseconds of a step: GPU constant, by active expert, and between steps, by row."""
    runs = runs_of(steering)
    constant, slope = line([(r["seen"]["D"], r["ms_step"]) for r in runs])
    gaps = [steering["allowed_experts"][n]["ms_step"] - profile["gpu_ms_step"]
            for n, profile in steering["gpu_time_of_a_step_us"].items()]
    gap = statistics.mean(gaps)
    return {"gpu_constant": constant - gap, "by_expert": slope, "gap": gap, "gap_by_row": gap / STREAMS}


def energy_law(steering, idle):
    """Joules of a step above active idle at the temperature of its run: constant, and by active expert."""
    return line([(r["seen"]["D"], 1e-3 * r["ms_step"] * (r["W"] - idle(r["c"]))) for r in runs_of(steering)])


def kernel_us(profile, name):
    return sum(us for us, _, kernel in profile["top"] if name in kernel)


def expert_constant_us(steering, by_expert_ms):
    """Of a step: what the expert layers' kernels take beside their weights, mean of the profiles."""
    constants = []
    for allowed, profile in steering["gpu_time_of_a_step_us"].items():
        active = steering["allowed_experts"][allowed]["seen"]["D"]
        kernels = kernel_us(profile, "fused_moe_kernel") + kernel_us(profile, "moe_align_block_size")
        constants.append(kernels + kernel_us(profile, "moe_sum") - 1e3 * by_expert_ms * active)
    return statistics.mean(constants)


def model(data):
    steering = derive.load(data, STEERING_FILE)
    idle = idle_law(data, steering)
    slope_w = derive.idle_slope(data)
    time = time_law(steering)
    joules, joules_by_expert = energy_law(steering, idle)
    experts_us = expert_constant_us(steering, time["by_expert"])
    idle_w = idle(REFERENCE_C)
    others_us = 1e3 * time["gpu_constant"] - experts_us
    experts = [derive.row(STREAMS, (experts_us + 1e3 * time["by_expert"] * active) / LAYERS,
                          1e6 * joules_by_expert * active / LAYERS, active=active) for active in EXPERT_ROWS]
    entry = derive.entry(
        "moe_experts", derive.EXPERTS, "bf16",
        f"{STEERING_FILE}: lines in active experts through {len(runs_of(steering))} runs of whole steps; their "
        "constant in time from the profiles' fused_moe, align and sum kernels, all constant joules are `other`'s",
        experts)
    rows = [{"batch": batch, "latency_us": derive.rounded(others_us + 1e3 * time["gap_by_row"] * batch),
             "energy_uj": derive.rounded(1e6 * joules)} for batch in BATCHES]
    header = derive.header(data, "whole steps of vLLM 0.25.1 by active experts and rows, fitted to its steering "
                                 "runs alone; for the simulated machine under arrivals and its controllers")
    stock_w = steering["stock"]["W"]
    header.update({"schema": 2, "idle_active_w": derive.rounded(idle_w),
                   "perturbation": {"thermal": {
                       "reference_c": REFERENCE_C,
                       "energy_per_c": derive.rounded(slope_w / (stock_w - derive.rounded(idle_w)), 3),
                       "method": f"idle power rises {slope_w:.2f} W/C (thermal_trace.csv, idle2), over the stock "
                                 "step's watts above active idle"}}})
    return {**header, "entries": [entry], "other": [{
        "model": derive.MODELS[0]["name"], "engine": "vLLM 0.25.1", "source": "derived",
        "method": f"{STEERING_FILE}: {time['gpu_constant']:.3f} ms of GPU time whatever the active experts, less the "
                  f"expert layers' {1e-3 * experts_us:.3f}; and {time['gap']:.3f} ms between steps (wall less GPU "
                  f"time) at {STREAMS} rows, taken as proportional to them",
        "rows": rows}]}


def main(arguments=None):
    here = Path(__file__).resolve().parent.parent / "data" / "h100"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=here, help="folder of the measurements")
    parser.add_argument("--out", type=Path, help="folder to write into (default: that of --data)")
    parser.add_argument("--check", action="store_true", help="write nothing; compare with what is there")
    options = parser.parse_args(arguments)
    try:
        text = derive.to_text(model(options.data))
    except derive.DeriveError as error:
        print(f"fit_vllm_costs: {error}", file=sys.stderr)
        return 2
    path = (options.out or options.data) / COST_FILE
    if options.check:
        if path.exists() and path.read_text(encoding="utf-8") == text:
            return 0
        print(f"{path}: is not what tools/fit_vllm_costs.py writes; run it", file=sys.stderr)
        return 1
    path.write_text(text, encoding="utf-8")
    print(f"{path}: written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
