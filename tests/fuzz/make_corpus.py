#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes seeds and dictionaries for the fuzzers: OUT/<parser>/seed_*, OUT/<parser>.dict.

    tests/fuzz/make_corpus.py OUT

Small valid files, the same at each call; where the repository has real ones, their beginnings.
"""

import gzip
import json
import math
import re
import sqlite3
import struct
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PROCESS = 0x1000001 << 24


def nsys_exports(folder):
    tables = """
    CREATE TABLE META_DATA_EXPORT (name TEXT NOT NULL, value TEXT);
    INSERT INTO META_DATA_EXPORT VALUES ('EXPORT_PRODUCT_NAME', 'NVIDIA Nsight Systems'),
      ('EXPORT_PRODUCT_VERSION', '2025.3.1.90');
    CREATE TABLE StringIds (id INTEGER NOT NULL PRIMARY KEY, value TEXT NOT NULL);
    INSERT INTO StringIds VALUES (1, 'gemm'), (2, 'cudaLaunchKernel'), (3, 'fc2');
    CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (start INTEGER, end INTEGER, deviceId INTEGER,
      correlationId INTEGER, globalPid INTEGER, demangledName INTEGER, shortName INTEGER,
      registersPerThread INTEGER, gridX INTEGER, gridY INTEGER, gridZ INTEGER, blockX INTEGER,
      blockY INTEGER, blockZ INTEGER, graphNodeId INTEGER);
    CREATE TABLE CUPTI_ACTIVITY_KIND_RUNTIME (start INTEGER, end INTEGER, eventClass INTEGER,
      globalTid INTEGER, correlationId INTEGER, nameId INTEGER);
    CREATE TABLE NVTX_EVENTS (start INTEGER, end INTEGER, eventType INTEGER, text TEXT,
      globalTid INTEGER, endGlobalTid INTEGER, textId INTEGER, domainId INTEGER);
    CREATE TABLE TARGET_INFO_GPU (vmId INTEGER, id INTEGER, name TEXT);
    INSERT INTO TARGET_INFO_GPU VALUES (0, 0, 'NVIDIA H100 80GB HBM3');
    """
    rows = f"""
    INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES
      (1000, 1500, 0, 7, {PROCESS}, 1, 1, 32, 132, 1, 1, 256, 1, 1, NULL),
      (2000, 2600, 0, 8, {PROCESS}, 1, 1, 32, 132, 1, 1, 256, 1, 1, NULL),
      (3000, 3100, 1, 99, {PROCESS}, 9, 9, 32, 1, 1, 1, 32, 1, 1, NULL);
    INSERT INTO CUPTI_ACTIVITY_KIND_RUNTIME VALUES (900, 950, 0, {PROCESS + 1}, 7, 2),
      (960, 990, 0, {PROCESS + 1}, 8, 2);
    INSERT INTO NVTX_EVENTS VALUES (-5, NULL, 75, 'thermoe', {PROCESS + 1}, NULL, NULL, 1),
      (800, 955, 59, 'fc1', {PROCESS + 1}, NULL, NULL, 1),
      (957, 2000, 60, NULL, {PROCESS + 1}, {PROCESS + 1}, 3, 1);
    """
    samples = """
    CREATE TABLE GPU_METRICS (timestamp INTEGER, typeId INTEGER, metricId INTEGER, value INTEGER);
    INSERT INTO GPU_METRICS VALUES (0, 256, 1, 300), (1400, 256, 1, 310), (9000, 256, 1, 330), (0, 256, 2, 60),
      (9000, 256, 2, 61);
    CREATE TABLE TARGET_INFO_GPU_METRICS (typeId INTEGER, metricId INTEGER, metricName TEXT);
    INSERT INTO TARGET_INFO_GPU_METRICS VALUES (256, 1, 'GPU Power [W]'), (256, 2, 'GPU Temperature [C]');
    CREATE TABLE TARGET_INFO_CUDA_DEVICE (gpuId INTEGER, cudaId INTEGER);
    INSERT INTO TARGET_INFO_CUDA_DEVICE VALUES (0, 0);
    """
    for name, script in {"tables": tables, "rows": tables + rows, "samples": tables + rows + samples,
                         "one": "CREATE TABLE t (a)"}.items():
        path = folder / f"seed_{name}"
        path.unlink(missing_ok=True)
        database = sqlite3.connect(path)
        database.executescript("PRAGMA page_size=512; PRAGMA journal_mode=OFF;" + script)
        database.close()


def ncu_csvs(folder):
    head = ('"ID","Process ID","Process Name","Host Name","Kernel Name","Context","Stream","Block Size",'
            '"Grid Size","Device","CC","Section Name","Metric Name","Metric Unit","Metric Value"\n')
    row = '"{}","5","t","h","k<int, 2>(float *)","1","7","(256, 1, 1)","(4, 2, 1)","0","9.0","S","{}","{}","{}"\n'
    (folder / "seed_details").write_text(
        "==PROF== Connected to process 5 (./t)\n" + head + row.format(0, "Duration", "ns", "2,400")
        + row.format(0, "Registers Per Thread", "register/thread", "16")
        + row.format(1, "Duration", "us", "2.6") + row.format(2, "Duration", "ns", "n/a"))
    (folder / "seed_raw").write_text(
        '"ID","Process ID","Kernel Name","Block Size","Grid Size",'
        '"thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg",'
        '"gpu__time_duration.sum","launch__registers_per_thread"\n'
        '"","","","","","","ns","register/thread"\n'
        '"0","7","k","(256, 1, 1)","(4, 1, 1)","1  ""thermoe:fc1 [8, 16] bf16:none:none:none:none:none:none""",'
        '"2,368","16"\n"1","7","k","(256, 1, 1)","(4, 1, 1)","","n/a","16"\n')


def kineto_traces(folder):
    args = {"correlation": 5, "device": 0, "registers per thread": 40, "grid": [132, 2, 1], "block": [128, 1, 1]}
    trace = {"schemaVersion": 1, "deviceProperties": [{"id": 0, "name": "NVIDIA H100"}],
             "baseTimeNanoseconds": 1764000000000000000,
             "traceEvents": [
                 {"ph": "X", "cat": "user_annotation", "name": "fc1", "pid": 7, "tid": 8, "ts": 95, "dur": 20},
                 {"ph": "X", "cat": "cuda_runtime", "name": "cudaLaunchKernel", "pid": 7, "tid": 8,
                  "ts": 100.25, "dur": 4.5, "args": {"correlation": 5}},
                 {"ph": "X", "cat": "kernel", "name": "gemm", "pid": 0, "tid": 7, "ts": 9000, "dur": 12.345,
                  "args": args}],
             "traceName": "t.json"}
    text = json.dumps(trace).encode()
    (folder / "seed_text").write_bytes(text)
    (folder / "seed_events").write_bytes(json.dumps(trace["traceEvents"]).encode())
    (folder / "seed_packed").write_bytes(gzip.compress(text, mtime=0))
    # Stored, so that a changed byte of the text is a changed byte of the file.
    (folder / "seed_stored").write_bytes(gzip.compress(text, compresslevel=0, mtime=0))


OWN_RECORDING = (
    "utc,t_s,simulated,gpu,uuid,name,power_w,power_instant_w,power_limit_w,temp_gpu_c,energy_j,util_gpu_pct,"
    "throttle_reasons,host,host_power_w\n"
    "2026-11-23T06:42:21.935Z,0,0,0,GPU-a,NVIDIA H100,71.3,70.2,700,33,1000.5,97,4,,\n"
    "2026-11-23T06:42:21.935Z,0,0,,,,,,,,,,,package-0,60\n"
    "2026-11-23T06:42:22.035Z,0.1,0,0,GPU-a,NVIDIA H100,72.3,,700,34,1007.5,97,4,,\n"
    "2026-11-23T06:42:22.135Z,0.2,0,0,GPU-a,NVIDIA H100,nan,75.5,700,34,1014.5,97,4,,\n")


def recordings(folder):
    (folder / "seed_own").write_text(OWN_RECORDING)
    real = (ROOT / "data/h100/thermal_trace.csv").read_text().splitlines(keepends=True)
    (folder / "seed_real").write_text("".join(real[:12]))
    (folder / "seed_smi").write_text(
        "timestamp, index, name, power.draw [W], temperature.gpu, utilization.gpu [%], clocks.current.sm [MHz], "
        "clocks_event_reasons.active\n"
        "2026/01/02 10:00:00.123, 0, NVIDIA H100, 71.31 W, 33, 0 %, 345 MHz, 0x0000000000000001\n"
        "2026/12/31 23:59:59.125, 0, NVIDIA H100, [N/A], 41, 97 %, 1980 MHz, 0x8000000000000004\n")


def recorded_samples(folder):
    zero = struct.pack("<q", 1763880141000000000)
    (folder / "seed_own").write_bytes(zero + OWN_RECORDING.encode())


def cost_models(folder):
    def short(model):
        for entry in model["entries"]:
            entry["rows"] = entry["rows"][:4]
        return json.dumps(model, indent=None)
    for name in ("kernel_cost_model", "plant_cost_model"):
        model = json.loads((ROOT / f"data/h100/{name}.json").read_text())
        model["entries"] = model["entries"][:2]
        (folder / f"seed_{name}").write_text(short(model))
    model["schema"] = 2
    model["other"] = [{"model": "Qwen3-30B-A3B", "engine": "e 1", "source": "derived", "rows": [
        {"batch": 8, "graph_size": 8, "context": 0, "latency_us": 100, "energy_uj": 100}]}]
    (folder / "seed_schema_2").write_text(short(model))


def step_rows(folder):
    (folder / "seed_csv").write_text("batch,active_experts,step_ms,step_j,graph_size,context\n"
                                     "16,23.9,8.4,3.2,16,100\n32,40,9.5,,,\n")
    (folder / "seed_json").write_text(json.dumps({"rows": [
        {"batch": 16, "active_experts": 23.9, "step_ms": 8.4, "step_j": 3.2, "graph_size": 16, "context": 100}]}))


def safetensors_bytes(tensors, metadata):
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (shape, values) in tensors.items():
        raw = struct.pack(f"<{len(values)}f", *values)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def safetensors_files(folder):
    one = {"w": ([2, 2], [1.0, -2.0, 0.5, float("nan")]), "empty": ([0], [])}
    (folder / "seed_tensors").write_bytes(safetensors_bytes(one, {"format": "pt"}))
    config = {"vocab": 2, "layers": 1, "d_model": 2, "heads": 1, "experts": 2, "top_k": 1, "d_ff": 1, "context": 4,
              "rope_base": 10000.0, "norm_eps": 1e-5}
    shapes = {"embed.weight": [2, 2], "final_norm.weight": [2], "head.weight": [2, 2],
              "layers.0.attn.out.weight": [2, 2], "layers.0.attn.qkv.weight": [6, 2], "layers.0.attn_norm.weight": [2],
              "layers.0.moe.down": [2, 2, 1], "layers.0.moe.gate": [2, 1, 2], "layers.0.moe.router.weight": [2, 2],
              "layers.0.moe.up": [2, 1, 2], "layers.0.moe_norm.weight": [2]}
    tensors = {name: (shape, [0.25] * math.prod(shape)) for name, shape in shapes.items()}
    metadata = {"thermoe_config": json.dumps(config)}
    (folder / "seed_model").write_bytes(safetensors_bytes(tensors, metadata))


def router_logits(folder):
    values = [0.25 * i for i in range(24)]
    routing = {"k": "2", "score_function": "softmax", "groups": "2", "groups_kept": "1", "routed_scale": "2.5"}
    (folder / "seed_one").write_bytes(safetensors_bytes({"router_logits": ([2, 3, 4], values)}, routing))
    (folder / "seed_samples").write_bytes(safetensors_bytes({"router_logits": ([1, 2, 3, 4], values)}, routing))
    (folder / "seed_bare").write_bytes(safetensors_bytes({"router_logits": ([2, 3, 4], values)}, {}))


def experiments(folder):
    for path in (ROOT / "experiments").glob("*.json"):
        (folder / f"seed_{path.stem}").write_text(json.dumps(json.loads(path.read_text())))


def engine_configs(folder):
    model = {"layers": 2, "experts": 4, "k": 2}
    least = {"model": model, "cost_model": ".", "costed_as": "Qwen3-30B-A3B"}
    full = {"schema": 1, "model": {**model, "score_function": "sigmoid", "groups": 2, "groups_kept": 1,
                                   "denominator": "reference", "routed_scale": 2.5, "loss_scores": "biased",
                                   "selection_bias": [[0, 0.5, -1, 0], [0, 0, 0, 0]]},
            "applies": "mask", "strategy": "STATIC_OPTIMAL", "objective": "throughput",
            "targets": {"power_w": 350, "temperature_c": 80, "step_ms": 20, "time_between_tokens_ms": 25,
                        "time_to_first_token_ms": 500},
            "cost_model": ".", "costed_as": {"name": "m", "layers": 4, "shape": [4, 2, 64, 32], "gated": True},
            "dtype": "bf16", "engine": {"name": "e", "context": 100, "batch_limit": 8, "graph_sizes": [1, 2, 8]},
            "telemetry": {"source": "simulated", "plant": ".", "cost_model": ".", "energy_scale": 0.9, "seed": 2},
            "metrics": {"port": 0, "address": "::1", "model_name": "m", "engine": "1"},
            "control": {"thread": False, "tick_s": 0.1, "calibration_samples": 4, "k_min": 1, "price": 0.1,
                        "sensor_delay_s": 0.1, "sensor_window_s": 0.025, "bias_clamp": 0.1, "max_quality_loss": 0.5,
                        "fallback": "baseline", "stale_after_s": 2, "recover_after_s": 1, "valid_ticks": 5}}
    caller = {**least, "telemetry": {"source": "caller"}, "control": {"step_period_s": 0.016}}
    nvml = {**least, "telemetry": {"source": "nvml", "gpu": "GPU-1", "library": "l.so"}}
    for name, config in {"least": least, "full": full, "caller": caller, "nvml": nvml}.items():
        (folder / f"seed_{name}").write_text(json.dumps(config))


def plant_configs(folder):
    (folder / "seed_h100").write_text(json.dumps(json.loads((ROOT / "data/h100/plant.json").read_text())))


def run_folders(folder):
    source = (ROOT / "src/report/metrics_columns.cpp").read_text()
    columns = re.findall(r'Metric::k\w+,\s*"(\w+)"', source)
    rows = [",".join("BASELINE" if c == "strategy" else str(t) if c == "time_s" else "" if c == "fallback" else "1"
                     for c in columns) for t in (0.1, 0.2)]
    metrics = "\n".join([",".join(columns)] + rows) + "\n"
    strategy = {"name": "BASELINE", "tokens_per_second": 1000, "joules_per_token": 0.3, "mean_power_w": 340,
                "max_temperature_c": 60, "p50_step_ms": 9, "p99_step_ms": 12, "mean_active_experts": 70,
                "kept_mass": 1, "quality_loss_nats": None, "bits_per_byte": 2, "kl_to_baseline": 0,
                "expert_load_cv": 0.5, "gpu_util": 0.9, "mem_util": 0.5, "fallbacks": 0, "peak_memory_bytes": 1e9,
                "quality_loss_interval_percent": [0, 1], "power_target_w": 350, "power_violation_fraction": 0,
                "settling_time_s": 3}
    summary = json.dumps({"schema": 1, "device": "GPU", "simulated": True, "seed": 1, "strategies": [strategy]})
    config = json.dumps({"costs": "c.json", "machine": {"device": "GPU"}, "experiment": {
        "name": "demo", "duration_s": 240, "rounds": 2, "seed": 1, "strategies": ["BASELINE"],
        "disturbances": [{"kind": "background", "from_s": 80, "to_s": 140, "power_w": 60}]}})
    details = json.dumps({"schema": 1, "costs": "c", "notes": ["n"], "strategies": [
        {"name": "BASELINE", "extrapolated_share": 0, "fallback_share": 0, "fallback_reasons": ["r"], "targets": [
            {"target": "power_w", "value": 350, "violation_fraction": 0, "mean": 340, "steady": 340,
             "highest_1s_mean": 349}]}]})
    usage = ("strategy,time_s,layer,expert_0_tokens,expert_1_tokens\nBASELINE,1,0,3,4\nBASELINE,1,1,3,4\n"
             "BASELINE,2,0,3,4\nBASELINE,2,1,3,4\n")
    bias = "strategy,time_s,layer,expert_0_bias,expert_1_bias\nBASELINE,1,0,-0.5,0.25\nBASELINE,1,1,0,0\n"
    for name, files in {"complete": [metrics, summary, config, details, usage, bias],
                        "interrupted": [metrics, "", config, "", usage],
                        "summary": ["", summary, "", details, ""]}.items():
        (folder / f"seed_{name}").write_text("%%\n".join(files))


SEEDS = {"nsys_export": nsys_exports, "ncu_csv": ncu_csvs, "kineto_trace": kineto_traces,
         "recorded_samples": recorded_samples, "telemetry_trace": recordings, "cost_model": cost_models,
         "step_rows": step_rows, "safetensors": safetensors_files, "router_logits": router_logits,
         "experiment": experiments, "engine_config": engine_configs,
         "plant_config": plant_configs, "run_folder": run_folders}
WORD = re.compile(rb"[A-Za-z_][A-Za-z0-9_.]{2,40}")
COMMON = [b"null", b"true", b"1e308", b"-1", b"1e-320", b"9223372036854775807", b"nan", b"inf", b"\xef\xbb\xbf",
          b'""', b"[[[[", b'{"":', b"\r\n", b"[N/A]"]


def dictionary(folder):
    words = set(COMMON)
    for seed in sorted(folder.glob("seed_*")):
        words.update(WORD.findall(seed.read_bytes()))
    return "".join('"' + "".join(f"\\x{b:02x}" for b in word) + '"\n' for word in sorted(words))


def main():
    out = Path(sys.argv[1])
    for parser, write in SEEDS.items():
        folder = out / parser
        folder.mkdir(parents=True, exist_ok=True)
        write(folder)
        (out / f"{parser}.dict").write_text(dictionary(folder))


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main()
