#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Derives the H100's first cost models from the measurements in data/h100.

Writes two files of the schema in docs/adr/0005-cost-schema.md:
  kernel_cost_model.json  what the controller reads
  plant_cost_model.json   what the simulated GPU charges
Both describe the same GPU but rest on different measurements of it (docs/cost-model.md), so the
controller's model is wrong about the plant in the way that a real table is wrong about a real GPU.

  tools/derive_cost_model.py                   write both into data/h100
  tools/derive_cost_model.py --check           exit 1 if the files there are not what this would write
  tools/derive_cost_model.py --data D --out O  read from D, write into O
"""
import argparse
import csv
import json
import statistics
import sys
from pathlib import Path

SCHEMA = 1
# Models whose layers the expert tables stand for; what is published of how many experts a batch activates.
MODELS = [{"name": "Qwen3-30B-A3B", "layers": 48, "shape": [128, 8, 2048, 768],
           "published_active_experts": [{"tokens": 16, "active_experts": 48.8, "source": "arXiv 2511.02237"}]}]
LAYERS = 48                      # Qwen3-30B-A3B; the measured steps ran 48 layers
EXPERTS = [128, 8, 2048, 768]    # experts, top_k, d_model, d_ff
IDLE_ACTIVE_W = 130.0            # clocks up, no work, die at 48 C (thermal_trace.csv, idle3)
SHORT_WINDOW_SPREAD = 0.10       # energy over windows of 0.8-1.2 s (data/README.md)
SLOWDOWN_KNEE = 0.95             # share of the power limit from which clocks may fall

CONTROLLER_FILE = "kernel_cost_model.json"
PLANT_FILE = "plant_cost_model.json"


class DeriveError(Exception):
    """A measurement file is missing or lacks what is needed; the message names it."""


def load(data, name):
    path = data / name
    try:
        return json.loads(path.read_text())
    except FileNotFoundError as error:
        raise DeriveError(f"{path}: does not exist; give the folder with the measurements "
                          "as --data") from error
    except json.JSONDecodeError as error:
        raise DeriveError(f"{path}: not valid JSON: {error}") from error


def rounded(value, digits=5):
    """`value` with `digits` significant digits: what a measurement carries, and short files."""
    return float(f"{value:.{digits}g}")


def above_idle_uj(watts, microseconds):
    return (watts - IDLE_ACTIVE_W) * microseconds


def row(tokens, latency_us, energy_uj=None, active=None, spread=None, energy_spread=None):
    out = {"tokens": tokens}
    if active is not None:
        out["active_experts"] = active
    out["latency_us"] = rounded(latency_us)
    if energy_uj is not None:
        out["energy_uj"] = rounded(energy_uj)
    if spread is not None:
        out["spread"] = rounded(spread, 2)
    if energy_spread is not None:
        out["energy_spread"] = rounded(energy_spread, 2)
    return out


def entry(op, shape, dtype, method, rows, group_size=None):
    out = {"op": op, "shape": shape, "dtype": dtype}
    if group_size is not None:
        out["group_size"] = group_size
    ordered = sorted(rows, key=lambda r: (r["tokens"], r.get("active_experts", 0)))
    return {**out, "source": "derived", "method": method, "rows": ordered}


# ---- the expert layers, as the controller knows them -------------------------------------------

def triton_bf16(data):
    return load(data, "moe_decode_energy.json")["triton_bf16_blockm16"]


def controller_bf16(data):
    rows = [row(r["B"], r["us_layer"], above_idle_uj(r["W"], r["us_layer"]), active=r["D"],
                energy_spread=SHORT_WINDOW_SPREAD) for r in triton_bf16(data)]
    return entry("moe_experts", EXPERTS, "bf16",
                 "moe_decode_energy.json triton_bf16_blockm16: tuned Triton grouped kernel, saturated; "
                 "energy = (W - idle_active) * us over windows of 0.8-1.2 s", rows)


def humming(data, run):
    """Rows of Humming's stock int4 MoE layer in one session (device call) of the peers' file."""
    rows = [r for r in load(data, "kernel_peers.json")["rows"]
            if r["op"] == "moe_layer" and r["run"] == run
            and r["impl"].startswith("humming") and r["impl"].endswith("W4A16 g128)")]
    if not rows:
        raise DeriveError(f"{data / 'kernel_peers.json'}: /rows: no Humming moe_layer rows of run {run}")
    return rows


def int4_row(r, latency_scale=1.0, energy_scale=1.0):
    us = r["median_us"]
    return row(r["shape"]["B"], us * latency_scale,
               (1e3 * r["mj"] - IDLE_ACTIVE_W * us) * energy_scale, active=r["shape"]["D"],
               spread=(r["p90_us"] - r["p10_us"]) / (2 * us))


def controller_int4(data):
    return entry("moe_experts", EXPERTS, "int4",
                 "kernel_peers.json run 1: Humming 0.1.19 W4A16, stock schedule, align through combine; "
                 "energy = mJ - idle_active * us over windows of 3.3 s or more",
                 [int4_row(r) for r in humming(data, 1)], group_size=128)


# ---- the expert layers, as the plant charges them ----------------------------------------------

def open_loop_bf16(data):
    """(D, us a layer, uJ a layer, relative half-range of the energy) at B=16 and a fixed rate."""
    by_active = {}
    for r in load(data, "moe_decode_energy.json")["open_loop_fixed_rate"]:
        if r["period_ms"] > 0.0:
            by_active.setdefault(r["D"], []).append(r)
    out = []
    for active, runs in sorted(by_active.items()):
        energies = [1e6 * (r["W"] - IDLE_ACTIVE_W) / r["steps_s"] / LAYERS for r in runs]
        latency = statistics.mean(1e3 * r["step_ms"] / LAYERS for r in runs)
        energy = statistics.mean(energies)
        half = (max(energies) - min(energies)) / 2 / energy if len(runs) > 1 else None
        out.append((active, latency, energy, half))
    return out


def interpolate(points, x):
    for (x0, y0), (x1, y1) in zip(points, points[1:]):
        if x0 <= x <= x1:
            return y0 + (y1 - y0) * (x - x0) / (x1 - x0)
    raise DeriveError(f"no rows around D={x} to compare at")


def plant_bf16(data):
    fixed_rate = open_loop_bf16(data)
    rows = [row(16, us, uj, active=active, energy_spread=half) for active, us, uj, half in fixed_rate]
    table = [r for r in controller_bf16(data)["rows"]]
    scale, first, last = {}, {}, {}  # measured / Triton: on average, at the least D, at the greatest
    for name, column in (("latency_us", 1), ("energy_uj", 2)):
        line = [(r["active_experts"], r[name]) for r in table if r["tokens"] == 16]
        ratios = [p[column] / interpolate(line, p[0]) for p in fixed_rate]
        scale[name], first[name], last[name] = statistics.mean(ratios), ratios[0], ratios[-1]
    for r in table:
        if r["tokens"] == 16 and not fixed_rate[0][0] <= r["active_experts"] <= fixed_rate[-1][0]:
            by = first if r["active_experts"] < fixed_rate[0][0] else last
            rows.append(row(16, r["latency_us"] * by["latency_us"], r["energy_uj"] * by["energy_uj"],
                            active=r["active_experts"]))
    rows += [row(r["tokens"], r["latency_us"] * scale["latency_us"], r["energy_uj"] * scale["energy_uj"],
                 active=r["active_experts"]) for r in table if r["tokens"] != 16]
    return entry("moe_experts", EXPERTS, "bf16",
                 "moe_decode_energy.json open_loop_fixed_rate, 16 tokens each 16 ms over 15 s: "
                 f"energy = (W - idle_active) * period / {LAYERS}; 1 and 64 tokens from "
                 "triton_bf16_blockm16, latency times "
                 f"{scale['latency_us']:.4f} and energy times {scale['energy_uj']:.4f}, which makes "
                 "the two agree at 16 tokens on average; 16 tokens outside the measured D from it too, "
                 f"times {first['latency_us']:.4f} and {first['energy_uj']:.4f} below, "
                 f"{last['latency_us']:.4f} and {last['energy_uj']:.4f} above: continuous at the ends",
                 rows)


def plant_int4(data):
    later = humming(data, 3)
    first = {(r["shape"]["B"], r["shape"]["D"]): r for r in humming(data, 1)}
    pairs = [(r, first[r["shape"]["B"], r["shape"]["D"]]) for r in later]
    latency = statistics.mean(a["median_us"] / b["median_us"] for a, b in pairs)
    energy = statistics.mean(int4_row(a)["energy_uj"] / int4_row(b)["energy_uj"] for a, b in pairs)
    shared = {(r["shape"]["B"], r["shape"]["D"]) for r in later}
    rows = [int4_row(r) for r in later]
    rows += [int4_row(r, latency, energy) for key, r in first.items() if key not in shared]
    return entry("moe_experts", EXPERTS, "int4",
                 "kernel_peers.json run 3 (another session than run 1): Humming 0.1.19 W4A16, stock "
                 f"schedule; rows that run 3 lacks from run 1, latency times {latency:.4f} and energy "
                 f"times {energy:.4f}", rows, group_size=128)


# ---- single ops --------------------------------------------------------------------------------

def dense_entries(data):
    peers = load(data, "int4_linear_peers.json")
    by_shape = {}
    for r in peers["int4_linear_bf16_triton_tinygemm"]:
        by_shape.setdefault((r["N"], r["K"]), []).append(r)
    marlin = {}
    for r in peers["marlin_fp16"]:
        marlin.setdefault((r["N"], r["K"]), []).append(r)
    with_energy = [r for r in load(data, "kernel_peers.json")["rows"] if r["op"] == "dense_bf16"]
    measured = (with_energy[0]["shape"]["N"], with_energy[0]["shape"]["K"])

    out = []
    for (n, k), rows in by_shape.items():
        if (n, k) == measured:
            out.append(entry(
                "linear", [n, k], "bf16", "kernel_peers.json dense_bf16: cuBLAS",
                [row(r["shape"]["M"], r["median_us"], 1e3 * r["mj"] - IDLE_ACTIVE_W * r["median_us"],
                     spread=(r["p90_us"] - r["p10_us"]) / (2 * r["median_us"])) for r in with_energy]))
        else:
            out.append(entry("linear", [n, k], "bf16",
                             "int4_linear_peers.json: cuBLAS bf16; energy not measured",
                             [row(r["M"], r["bf16_us"]) for r in rows]))
        # Beyond M=256 the plain product is no longer the same kernel in both runs.
        out.append(entry("dequant_unpack", [n, k], "int4",
                         "int4_linear_peers.json: unfused dequant + linear, less the linear; energy not "
                         "measured", [row(r["M"], r["unfused_us"] - r["bf16_us"]) for r in rows
                                      if r["M"] <= 256], group_size=128))
    for (n, k), rows in marlin.items():
        for op, dtype, name, group, what in (
                ("linear", "f16", "fp16", None, "cuBLAS fp16"),
                ("fused_dequant_linear", "int4", "marlin", 128, "Marlin, fp16 activations")):
            out.append(entry(
                op, [n, k], dtype,
                f"int4_linear_peers.json marlin_fp16: {what}; energy over windows of 0.8-1.2 s",
                [row(r["M"], r[f"{name}_us"], r[f"{name}_uJ"] - IDLE_ACTIVE_W * r[f"{name}_us"],
                     energy_spread=SHORT_WINDOW_SPREAD) for r in rows], group_size=group))
    return out


def activation_entries(data):
    """No activation kernel was timed alone: its floor, from the launch and bandwidth of the same GPU."""
    floors = load(data, "kernel_peers.json")["floors"]
    launch = next(f["median_us"] for f in floors if f["impl"] == "empty_132x256")
    read = next(f for f in floors if f["impl"] == "energy")
    size = read["shape"]["bytes"]
    us_per_byte = read["median_us"] / size
    uj_per_byte = above_idle_uj(read["watts"], read["median_us"]) / size
    width = 14336
    out = []
    for op in ("activation_relu", "activation_gelu"):
        for dtype in ("f16", "bf16"):
            rows = []
            for tokens in (1, 16, 64, 256, 1024, 4096):
                moved = tokens * width * 2 * 2  # read and written once, two bytes each
                rows.append(row(tokens, launch + moved * us_per_byte, moved * uj_per_byte))
            out.append(entry(op, [width], dtype,
                             "floor, not timed: kernel_peers.json launch floor + bytes at the measured "
                             "read bandwidth and joules a byte", rows))
    return out


def route_entries(data):
    tables = {}
    for r in load(data, "kernel_peers.json")["rows"]:
        if r["op"] == "route" and r["impl"] == "vllm0.33 topk_softmax":
            shape = r["shape"]
            dtype = {"float32": "f32", "bfloat16": "bf16"}[shape["dtype"]]
            tables.setdefault((shape["E"], shape["k"], dtype), []).append(
                row(shape["T"], r["median_us"], spread=(r["p90_us"] - r["p10_us"]) / (2 * r["median_us"])))
    return [entry("topk_route", [experts, k], dtype,
                  "kernel_peers.json: vLLM 0.33 topk_softmax; energy not measured", rows)
            for (experts, k, dtype), rows in sorted(tables.items())]


# ---- header ------------------------------------------------------------------------------------

def thermal_trace(data):
    path = data / "thermal_trace.csv"
    try:
        with path.open(newline="") as stream:
            return list(csv.DictReader(stream))
    except FileNotFoundError as error:
        raise DeriveError(f"{path}: does not exist") from error


def idle_slope(data):
    """Watts of active idle by degree of the die."""
    trace = thermal_trace(data)
    # Idle after the GEMM, past the 1 s average's tail: watts fall with temperature alone.
    start = min(float(r["t_s"]) for r in trace if r["phase"] == "idle2")
    cooling = [(float(r["temp_gpu_c"]), float(r["power_instant_w"])) for r in trace
               if r["phase"] == "idle2" and float(r["t_s"]) > start + 2.0]
    return statistics.linear_regression([t for t, _ in cooling], [p for _, p in cooling]).slope


def perturbation(data):
    """Leakage and slowdown, as far as thermal_trace.csv shows them."""
    trace = thermal_trace(data)
    slope = idle_slope(data)
    runs = load(data, "moe_decode_energy.json")["open_loop_fixed_rate"]
    saturated = next(r for r in runs if r["name"] == "D82_sat")
    clocks = [float(r["sm_clock_mhz"]) for r in trace if r["phase"] == "gemm"]
    slowdown = max(float(r["sm_clock_mhz"]) for r in trace) / statistics.median(clocks) - 1.0
    return {
        "thermal": {
            "reference_c": saturated["T_end"],
            "energy_per_c": rounded(slope / (saturated["W"] - IDLE_ACTIVE_W), 3),
            "method": f"idle power rises {slope:.2f} W/C (thermal_trace.csv, idle2), over the "
                      "saturated layer's watts above active idle"},
        "power": {
            "limit_w": load(data, "router_and_nvml.json")["env"]["power_limit_w"],
            "knee": SLOWDOWN_KNEE,
            "slope": rounded(slowdown / (1.0 - SLOWDOWN_KNEE), 3),
            "method": "bf16 GEMM at the limit (thermal_trace.csv): SM clock falls by "
                      f"{slowdown:.2f} of itself; an upper bound for kernels bound by memory"}}


def thermal(data):
    """The controller's first-order model from the fit of the trace, or None before there is one."""
    path = data / "plant.json"
    if not path.exists():
        return None
    fit = load(data, "plant.json").get("controller_thermal")
    if fit is None:
        return None
    names = ("ambient_c", "resistance_k_per_w", "time_constant_s")
    absent = [name for name in names if name not in fit]
    if absent:
        raise DeriveError(f"{path}: /controller_thermal/{absent[0]}: is missing")
    return {**{name: fit[name] for name in names}, "method": "plant.json controller_thermal"}


def header(data, purpose):
    env = load(data, "router_and_nvml.json")["env"]
    out = {
        "schema": SCHEMA,
        "purpose": purpose,
        "device": env["name"],
        "driver": env["driver"],
        "clocks": {"sm_mhz": 1980, "memory_mhz": 2619},
        "power_definition": "whole board, from the NVML energy counter; energies are above idle_active_w",
        "idle_active_w": IDLE_ACTIVE_W,
        "idle_cold_w": env["idle_w"]}
    fitted = thermal(data)
    if fitted is not None:
        out["thermal"] = fitted
    out["perturbation"] = perturbation(data)
    out["models"] = MODELS
    return out


def controller_model(data):
    entries = [controller_bf16(data), controller_int4(data), *dense_entries(data),
               *activation_entries(data), *route_entries(data)]
    return {**header(data, "the controller's table of the H100: kernels profiled one by one, saturated"),
            "entries": entries}


def plant_model(data):
    return {**header(data, "the simulated GPU's own costs (the plant): never read by a controller; "
                           "expert layers only, at a fixed rate of steps"),
            "entries": [plant_bf16(data), plant_int4(data)]}


def to_text(model):
    """JSON with one row a line, so that a diff of two models can be read."""
    bare = {**model, "entries": [{**e, "rows": [f"@{i}.{j}@" for j, _ in enumerate(e["rows"])]}
                                 for i, e in enumerate(model["entries"])]}
    text = json.dumps(bare, indent=1)
    for m in model.get("models", []):
        text = text.replace(json.dumps(m["shape"], indent=1).replace("\n", "\n   "), json.dumps(m["shape"]))
    for i, e in enumerate(model["entries"]):
        for j, r in enumerate(e["rows"]):
            text = text.replace(f'"@{i}.{j}@"', json.dumps(r), 1)
        text = text.replace(json.dumps(e["shape"], indent=1).replace("\n", "\n   "),
                            json.dumps(e["shape"]))
    return text + "\n"


def main(arguments=None):
    here = Path(__file__).resolve().parent.parent / "data" / "h100"
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=Path, default=here, help="folder of the measurements")
    parser.add_argument("--out", type=Path, help="folder to write into (default: that of --data)")
    parser.add_argument("--check", action="store_true", help="write nothing; compare with what is there")
    options = parser.parse_args(arguments)
    out = options.out or options.data
    try:
        models = {CONTROLLER_FILE: controller_model(options.data), PLANT_FILE: plant_model(options.data)}
    except DeriveError as error:
        print(f"derive_cost_model: {error}", file=sys.stderr)
        return 2
    if "thermal" not in models[CONTROLLER_FILE]:
        print(f"note: {options.data / 'plant.json'} has no controller_thermal yet: the models carry no "
              "thermal part", file=sys.stderr)
    for name, model in models.items():
        path = out / name
        text = to_text(model)
        if options.check:
            if not path.exists() or path.read_text() != text:
                print(f"{path}: is not what tools/derive_cost_model.py writes; run it", file=sys.stderr)
                return 1
            continue
        path.write_text(text)
        print(f"{path}: {len(model['entries'])} entries, "
              f"{sum(len(e['rows']) for e in model['entries'])} rows")
    return 0


if __name__ == "__main__":
    sys.exit(main())
