#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Joins what gpu_bench and torch_rows.py measured in one session on one GPU, and writes it as JSON and Markdown.

  tools/kernel_results.py gpu_bench.json torch_rows.json --out docs/results/kernels-h100

What stands in the Markdown below the line `<!-- written by hand -->` is kept.
"""
import argparse
import json
import pathlib
import sys

from result_page import figure, table, write_page

LAUNCH_US = 1.0

# First speeds to reach on an H100, in us: (op, what the shape must be, implementation, limit). A tuple is a choice,
# None a key that is not there.
# For bf16 experts 1.1 x what vLLM's Triton kernel took on the same kind of GPU.
FIRST_SPEEDS = [
    ("topk_route", {"tokens": (1, 16, 64), "experts": 128, "k": 8, "logits": "f32", "router": "softmax", "plan": "priced",
                    "order": None, "masked_logits": None, "between": None}, "cuda", 5.0),
    ("grouped_experts", {"tokens": 16, "active": 82, "weights": "bf16"}, "cuda", 1.1 * 274),
    ("grouped_experts", {"tokens": 16, "active": 64, "weights": "bf16"}, "cuda", 1.1 * 221),
    ("grouped_experts", {"tokens": 16, "active": 40, "weights": "bf16"}, "cuda", 1.1 * 147),
    ("grouped_experts", {"tokens": 16, "active": 24, "weights": "bf16"}, "cuda", 1.1 * 100),
    ("grouped_experts", {"tokens": 16, "active": 82, "weights": "int4"}, "cuda", 110.0),
    ("fused_dequant_linear", {"tokens": (1, 16), "outputs": 14336, "inputs": 4096}, "cuda", 25.0),
    ("fused_dequant_linear", {"tokens": (1, 16), "outputs": 14336, "inputs": 4096}, "triton", 37.0),
]


def first_speed(row):
    """The limit that the row is held against; None for most."""
    for op, wanted, impl, limit in FIRST_SPEEDS:
        fits = all(row["shape"].get(key) in (value if isinstance(value, tuple) else (value,))
                   for key, value in wanted.items())
        if op == row["op"] and impl == row["impl"] and fits:
            return limit
    return None


def joined(gpu, *others):
    """One result: the rows of all, floors by the bandwidth that gpu_bench measured."""
    for other in others:
        if other["device"] != gpu["device"]:
            raise SystemExit(f"kernel_results: {other['device']} and {gpu['device']} are different devices")
    rows = [dict(row) for result in (gpu, *others) for row in result["rows"]]
    for row in rows:
        size = row.pop("bytes", None)
        if size:
            row["floor_us"] = round(size / gpu["bytes_per_second"] * 1e6, 3)
    order = ["op", "shape", "impl", "median_us", "p10_us", "p90_us", "floor_us", "joules", "watts", "samples", "calls"]
    whole = dict(gpu)
    for other in others:
        whole["torch"] = other.get("torch") or whole["torch"]
        whole["command"] += " && " + other["command"]
        whole["left_out"] = whole["left_out"] + other["left_out"]
    whole["rows"] = [{key: row[key] for key in order} for row in rows]
    return whole


# --- Markdown

def words(shape):
    return ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in shape.items()) or "–"


def cell(row):
    if row is None:
        return "–"
    return figure(row["median_us"]) + (f" ({figure(1000 * row['joules'])})" if row["joules"] is not None else "")


def target_table(rows):
    for row in rows:
        limit = first_speed(row)
        if limit is None:
            continue
        floor = row["floor_us"] if (row["floor_us"] or 0.0) >= LAUNCH_US else None  # below it launches are what counts
        yield [row["op"], words(row["shape"]), row["impl"],
               f"{figure(row['median_us'])} ({figure(row['p10_us'])}..{figure(row['p90_us'])})",
               figure(floor), "–" if not floor else f"{row['median_us'] / floor:.2f}",
               f"≤ {limit:.4g}", "met" if row["median_us"] <= limit else "**missed**"]


def op_table(rows):
    """A line a variant, a column a number of tokens (and of active experts)."""
    columns = list(dict.fromkeys(size_of(row) for row in rows))
    columns.sort(key=lambda size: (size[0] or 0, -(size[1] or 0)))
    variants = {}
    for row in rows:
        rest = {k: v for k, v in row["shape"].items() if k not in ("tokens", "active")}
        constant = json.dumps(rest)
        variants.setdefault((constant, row["impl"]), {})[size_of(row)] = row
    shared = {k: v for k, v in json.loads(next(iter(variants))[0]).items()
              if all(json.loads(c).get(k) == v for c, _ in variants)}
    if shared:
        yield f"All: {words(shared)}."
        yield ""
    lines, floored = [], set()
    for constant, _ in variants:
        if constant in floored:
            continue
        floored.add(constant)
        same = {impl: by_size for (c, impl), by_size in variants.items() if c == constant}
        what = words({k: v for k, v in json.loads(constant).items() if k not in shared})
        floors = [next((s[size]["floor_us"] for s in same.values() if size in s and s[size]["floor_us"]), None)
                  for size in columns]
        if max(f or 0.0 for f in floors) >= LAUNCH_US and "floor" not in same:
            lines.append([what, "*floor*", *(f"*{figure(f)}*" for f in floors)])
        lines += [[what, impl, *(cell(by_size.get(size)) for size in columns)] for impl, by_size in same.items()]
    yield from table(["shape", "by", *(size_words(size) for size in columns)], lines)


def size_of(row):
    return row["shape"].get("tokens"), row["shape"].get("active")


def size_words(size):
    tokens, active = size
    return "µs (mJ)" if tokens is None else f"T = {tokens}" + (f", D = {active}" if active else "")


def markdown(result):
    clocks = result["clocks"]["sm_mhz"]
    clock = f"{clocks['least']:.0f} to {clocks['most']:.0f} MHz (SM), " if clocks else ""
    memory = result["clocks"]["memory_mhz"]
    clock += f"{memory['median']:.0f} MHz (memory), " if memory else ""
    yield f"# Kernels on a {result['device']}"
    yield ""
    yield (f"{clock}driver {result['driver']}, CUDA {result['cuda']}, torch {result['torch']}, "
           f"commit {result['commit']}; `{result['command']}`. Made by tools/kernel_results.py; bench/README.md says how it is measured.")
    yield ""
    yield ("µs of a call: the median over replays of a graph of captured calls, with other ids and weights each. In "
           "parentheses mJ of the whole board. Floor: the bytes that a call must move, at "
           f"{result['bytes_per_second'] / 1e12:.2f} TB/s, the fastest plain read in the same run; above T = 64 "
           "arithmetic may be what bounds a linear or an expert layer. Calls \"between\" which an empty kernel runs have "
           "its time in theirs.")
    yield ""
    targets = list(target_table(result["rows"]))
    if targets:
        yield "## First speeds"
        yield from table(["op", "shape", "by", "µs (p10..p90)", "floor", "× floor", "target", ""], targets)
        yield ""
    for op in dict.fromkeys(row["op"] for row in result["rows"]):
        yield f"## {op}"
        yield from op_table([row for row in result["rows"] if row["op"] == op])
        yield ""
    if result["left_out"]:
        yield "Left out, as they could not run: " + "; ".join(result["left_out"]) + "."
        yield ""


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", nargs="+", type=pathlib.Path, help="of gpu_bench, then of torch_rows.py")
    parser.add_argument("--out", type=pathlib.Path, help="writes OUT.json and OUT.md; else the Markdown is printed")
    options = parser.parse_args(arguments)
    for path in options.results:
        if not path.is_file():
            raise SystemExit(f"kernel_results: there is no {path}; gpu_bench and torch_rows.py write such with --out")
    result = joined(*(json.loads(path.read_text(encoding="utf-8")) for path in options.results))
    if options.out is None:
        print("\n".join(markdown(result)))
        return 0
    options.out.with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_page(options.out.with_suffix(".md"), markdown(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
