#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes data/h100/plant.json, the simulated GPU's parameters, from the measured traces beside it.

  tools/fit_thermal_model.py                 fit and write data/h100/plant.json
  tools/fit_thermal_model.py --print         fit and print, write nothing

Reads thermal_trace.csv (the fit), moe_decode_energy.json (an independent check) and
router_and_nvml.json (limits, sensor periods). Standard library only; a few seconds.
docs/plant.md explains the model and the numbers.
"""

import argparse
import csv
import json
import math
import os
import statistics
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from thermal_fit import fit_poles, max_error, rmse  # noqa: E402

DATA = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "data", "h100")
START_TAUS = [0.1, 1.0, 10.0]  # three poles; the search moves them
HELD_OUT_FROM_S = 80.0         # 10 s into the copies: what follows is predicted
CONTROLLER_FROM_S = 60.0       # the first-order fit sees idle, copies and idle
SENSOR_WINDOW_S = 0.025        # arXiv 2312.02741: 25 of every 100 ms on H100
SENSOR_DELAY_S = 0.1
AVERAGE_S = 1.0


def read_trace(path):
    """Columns of the trace as lists of floats (phase: strings)."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    trace = {name: [row[name] for row in rows] for name in rows[0]}
    return {name: values if name == "phase" else [float(v) for v in values]
            for name, values in trace.items()}


def idle_watts(trace):
    """Active idle: median instant power in the last 5 s of the trace (clocks up, no work)."""
    end = trace["t_s"][-1]
    return statistics.median(p for t, p in zip(trace["t_s"], trace["power_instant_w"])
                             if t > end - 5.0)


def heat_inputs(trace, idle):
    """Instant power split in two heat inputs: compute-bound work with idle, and memory-bound work
    above idle (everything from the copies on)."""
    first_copy = trace["phase"].index("copy")
    power = trace["power_instant_w"]
    memory = [0.0 if i < first_copy else max(p - idle, 0.0) for i, p in enumerate(power)]
    return [[p - m for p, m in zip(power, memory)], memory]


def sensor_noise(trace):
    """Standard deviation of one instant sample, from the differences between successive updates in the
    idle phases (so that slow cooling drops out)."""
    differences, last = [], None
    for phase, t, p in zip(trace["phase"], trace["t_s"], trace["power_instant_w"]):
        settled = (phase == "idle2" and t > 60.0) or (phase == "idle3" and t > 103.0)
        if settled and last is not None and p != last:
            differences.append(p - last)
        last = p if settled else None
    return statistics.pstdev(differences) / math.sqrt(2.0)


def delay_bound(trace):
    """Longest possible time from the end of a power window to its publication: at each change of phase,
    from the last row of the old phase to the first that shows the new power, less the window."""
    bounds = []
    phase, power, t = trace["phase"], trace["power_instant_w"], trace["t_s"]
    for i in range(1, len(t)):
        if phase[i] != phase[i - 1]:
            shown = next(j for j in range(i, len(t)) if abs(power[j] - power[i - 1]) > 100.0)
            bounds.append(t[shown] - t[i - 1] - SENSOR_WINDOW_S)
    return min(bounds)


def significant(value):
    return float(f"{value:.4g}")


def folded(fit, drive, idle):
    """The response to `drive` alone, with the heat of idle through drive 0 folded into the ambient."""
    poles = [{"r_k_per_w": significant(r), "tau_s": significant(tau)}
             for r, tau in zip(fit.resistances[drive], fit.taus) if r > 0.0]
    shift = idle * (fit.steady_resistance(0) - fit.steady_resistance(drive))
    return {"ambient_c": significant(fit.ambient + shift), "poles": poles}


def channel(times, drives, temperature, idle):
    """Fits one temperature; returns (memory-bound, compute-bound) blocks for the JSON."""
    fit = fit_poles(times, temperature, drives, START_TAUS)
    prediction = fit.predict(times, drives)
    split = next(i for i, t in enumerate(times) if t >= HELD_OUT_FROM_S)
    part = fit_poles(times[:split], temperature[:split], [d[:split] for d in drives], START_TAUS)
    held_out = part.predict(times, drives)[split:]
    memory = folded(fit, 1, idle)
    memory["fit"] = {
        "rmse_c": significant(rmse(prediction, temperature)),
        "max_error_c": significant(max_error(prediction, temperature)),
        "held_out_rmse_c": significant(rmse(held_out, temperature[split:])),
        "held_out_max_error_c": significant(max_error(held_out, temperature[split:])),
        "fitted_s": [0.0, significant(times[-1])],
        "held_out_s": [HELD_OUT_FROM_S, significant(times[-1])],
    }
    compute = folded(fit, 0, idle)
    compute_only = part.predict(times, [[a + b for a, b in zip(*drives)], [0.0] * len(times)])[split:]
    compute["copies_predicted_as_compute_rmse_c"] = significant(
        rmse(compute_only, temperature[split:]))
    return memory, compute


def controller_fit(trace, power):
    """One first-order response, what a controller can afford, on the trace's memory-bound part."""
    begin = next(i for i, t in enumerate(trace["t_s"]) if t >= CONTROLLER_FROM_S)
    times, temperature = trace["t_s"][begin:], trace["temp_gpu_c"][begin:]
    fit = fit_poles(times, temperature, [power[begin:]], [8.0])
    prediction = fit.predict(times, [power[begin:]])
    return {"ambient_c": significant(fit.ambient),
            "resistance_k_per_w": significant(fit.resistances[0][0]),
            "time_constant_s": significant(fit.taus[0]),
            "fit": {"rmse_c": significant(rmse(prediction, temperature)),
                    "max_error_c": significant(max_error(prediction, temperature)),
                    "fitted_s": [CONTROLLER_FROM_S, significant(times[-1])]}}


def open_loop_check(thermal, runs, seconds=15.0):
    """Predicts another session's end temperatures (same loads back to back, `seconds` each; its own
    ambient, found from the first start temperature at the first run's idle)."""
    poles, idle = thermal["poles"], runs["idle_w"]
    rise = [pole["r_k_per_w"] * idle for pole in poles]
    ambient = runs["rows"][0]["T_start"] - math.fsum(rise)
    result = []
    for row in runs["rows"]:
        for k, pole in enumerate(poles):
            settled = pole["r_k_per_w"] * row["W"]
            rise[k] = settled + math.exp(-seconds / pole["tau_s"]) * (rise[k] - settled)
        result.append({"name": row["name"], "measured_c": row["T_end"],
                       "predicted_c": significant(ambient + math.fsum(rise))})
    errors = [r["predicted_c"] - r["measured_c"] for r in result]
    return {"rmse_c": significant(math.sqrt(math.fsum(e * e for e in errors) / len(errors))),
            "runs": result}


def build_plant(trace, decode, nvml):
    idle = idle_watts(trace)
    drives = heat_inputs(trace, idle)
    gpu, gpu_compute = channel(trace["t_s"], drives, trace["temp_gpu_c"], idle)
    memory, memory_compute = channel(trace["t_s"], drives, trace["temp_mem_c"], idle)
    runs = {"idle_w": idle, "rows": decode["open_loop_fixed_rate"]}
    check = open_loop_check(gpu, runs)
    check["rmse_if_compute_bound_c"] = open_loop_check(gpu_compute, runs)["rmse_c"]
    env, periods = nvml["env"], nvml["nvml_update_periods"]
    return {
        "schema": 1,
        "source": "fitted",
        "device": env["name"],
        "idle_active_w": significant(idle),
        "idle_cold_w": env["idle_w"],
        "power_limit_w": env["power_limit_w"],
        "thermal_limit_c": env["thr_GPU_MAX"],
        "sm_clock_mhz": max(trace["sm_clock_mhz"]),
        "thermal": {**gpu, "memory": memory},
        "compute_thermal": {**gpu_compute, "memory": memory_compute},
        "controller_thermal": controller_fit(trace, trace["power_instant_w"]),
        "sensor": {
            "period_s": round(periods["power_inst"]["update_ms_median"] / 1e3, 2),
            "delay_s": SENSOR_DELAY_S,
            "window_s": SENSOR_WINDOW_S,
            "average_s": AVERAGE_S,
            "utilisation_period_s": round(periods["util"]["update_ms_median"] / 1e3, 2),
            "power_noise_w": significant(sensor_noise(trace)),
            "power_step_w": 0.001,
            "energy_step_j": 0.001,
            "temperature_step_c": 1,
            "bounds": {"delay_s": significant(delay_bound(trace))},
        },
        "checks": {"open_loop": check},
        "provenance": PROVENANCE,
    }


PROVENANCE = {
    "idle_active_w": "thermal_trace.csv: median power_instant_w of the last 5 s, idle with clocks up",
    "idle_cold_w": "router_and_nvml.json: env.idle_w, before any work",
    "power_limit_w": "router_and_nvml.json: env.power_limit_w",
    "thermal_limit_c": "router_and_nvml.json: env.thr_GPU_MAX (software slowdown)",
    "sm_clock_mhz": "thermal_trace.csv: highest sm_clock_mhz",
    "thermal": "tools/fit_thermal_model.py on thermal_trace.csv: response to memory-bound power (copies),"
               " with idle folded into ambient_c; fit errors include 1 C quantisation (0.29 C rms)",
    "compute_thermal": "the same fit, response to compute-bound power (GEMM); not used by the simulation",
    "controller_thermal": "one-pole fit to the trace from 60 s on; the controller's, not the plant's",
    "checks.open_loop": "moe_decode_energy.json: a decode load of another session, 15 s a run, that the"
                        " fit never saw; ambient set by the first start temperature",
    "sensor.period_s": "router_and_nvml.json: nvml_update_periods.power_inst, rounded",
    "sensor.utilisation_period_s": "router_and_nvml.json: nvml_update_periods.util, rounded",
    "sensor.window_s": "arXiv 2312.02741: instant power is seen 25 of every 100 ms on H100",
    "sensor.average_s": "thermal_trace.csv: power_w moves linearly for 1 s after a step of load",
    "sensor.delay_s": "assumed, above the trace's upper bound (sensor.bounds.delay_s)",
    "sensor.power_noise_w": "thermal_trace.csv: differences of power_instant_w updates in settled idle",
    "sensor.power_step_w": "NVML reports milliwatts",
    "sensor.energy_step_j": "NVML reports millijoules",
    "sensor.temperature_step_c": "NVML reports whole degrees",
}


def read_json(path):
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", default=DATA, help="folder of the measurements")
    parser.add_argument("--out", help="file to write (default: plant.json in that folder)")
    parser.add_argument("--print", action="store_true", help="print, write nothing")
    args = parser.parse_args()
    plant = build_plant(read_trace(os.path.join(args.data, "thermal_trace.csv")),
                        read_json(os.path.join(args.data, "moe_decode_energy.json")),
                        read_json(os.path.join(args.data, "router_and_nvml.json")))
    text = json.dumps(plant, indent=1) + "\n"
    if args.print:
        print(text, end="")
        return
    out = args.out or os.path.join(args.data, "plant.json")
    with open(out + ".partial", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(out + ".partial", out)


if __name__ == "__main__":
    main()
