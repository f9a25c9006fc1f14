#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes a cost model of what `thermoe profile` measured, without held-out slices, and says how well it predicts those.

  tools/cost_model_results.py OUT/profiles/CARD --costs costs/h100-80gb-hbm3.json --out docs/results/cost-model-h100

Points of so many tokens (--held-out-tokens) or active experts (--held-out-active) enter neither tables nor energy fits.
The program writes the cost model (`thermoe profile --files-only`) and is asked for the held-out points
(`thermoe cost at`); both by --thermoe. Several folders are joined: of one card, the first timing of a point counts.
Writes OUT.json, OUT.md and plots beside them; what stands in OUT.md below the line `<!-- written by hand -->` is kept.
"""
import argparse
import json
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile

from cost_model_page import markdown
from cost_model_plot import error_plot, table_plot
from gpu_steps import OUT_ACTIVE, OUT_TOKENS
from result_page import write_page
from run_folders import BadInput, read_json, write_json

ROOT = pathlib.Path(__file__).resolve().parents[1]
MEDIAN, P95 = 0.03, 0.08  # asked of interpolation, for latency and energy each
SAME = ("device", "driver", "backend")


# --- The folders

def read_lines(folder):
    """The records of a folder, the head first. A last line that was cut off is none."""
    path = folder / "records.jsonl"
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; thermoe profile --out {folder} writes it") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: is no UTF-8: {error.reason} at byte {error.start}") from error
    lines = []
    for number, line in enumerate(text.split("\n")[:-1], 1):
        try:
            lines.append(json.loads(line))
        except ValueError as error:
            raise BadInput(f"{path}:{number}: is no JSON: {error}") from error
        if not isinstance(lines[-1], dict) or not isinstance(lines[-1].get("kind"), str) or (
                number > 1 and lines[-1]["kind"] != "thermal" and not isinstance(lines[-1].get("point"), str)):
            raise BadInput(f"{path}:{number}: is no record of a profile")
    if not lines or lines[0]["kind"] != "profile":
        raise BadInput(f"{path}: does not begin with a line of kind \"profile\"")
    return lines


def joined(folders):
    """Head, records and what is said of the machine; of several folders the first that has a point counts."""
    head, records, seen, again, machines = None, [], set(), 0, []
    for folder in folders:
        first, *lines = read_lines(folder)
        head = head or first
        for key in SAME:
            if first.get(key) != head.get(key):
                raise BadInput(f"{folder}: is of the {key} {first.get(key)}, and {folders[0]} of {head.get(key)}")
        for line in lines:
            name = (line["kind"], line.get("point") if line["kind"] != "thermal" else None)
            if name in seen:
                again += 1
                continue
            seen.add(name)
            records.append(line)
        said = folder / "measured.json"
        machines.append(read_json(said) if said.exists() else {})
    cards = sorted({m["card"] for m in machines if m.get("card")})
    if len(cards) > 1:
        raise BadInput(f"the folders are of different cards ({', '.join(cards)}), which differ by several per cent: "
                       "make a cost model of each")
    commits = list(dict.fromkeys(commit for m in machines for commit in m.get("commits", [])))
    return head, records, {"card": cards[0] if cards else None, "commits": commits, "met_again": again}


def parsed(name):
    """{"op", "shape", "dtype", "group", "tokens", "active"} of a point's name."""
    op, _, rest = name.partition(" [")
    shape, _, words = rest.partition("] ")
    dtype, *pairs = words.split()
    amounts = dict(zip(pairs[::2], pairs[1::2]))
    try:
        sizes = [int(size) for size in shape.split(",")]
        whole = {key: None if key not in amounts else int(amounts[key]) if key == "group" else float(amounts[key])
                 for key in ("group", "tokens", "active")}
    except ValueError as error:
        raise BadInput(f"records.jsonl: \"{name}\" names no point: {error}") from error
    return {"op": op, "shape": sizes, "dtype": dtype, **whole}


def is_held_out(name, slices):
    point = parsed(name)
    return point["tokens"] in slices["tokens"] or point["active"] in slices["active"]


# --- What the program says

class Program:
    def __init__(self, path):
        self.path = path

    def call(self, *words):
        try:
            done = subprocess.run([self.path, *map(str, words)], capture_output=True, text=True, check=False)
        except OSError as error:
            raise BadInput(f"--thermoe {self.path}: {error.strerror}; build the target thermoe") from error
        if done.returncode != 0:
            raise BadInput(f"thermoe {words[0]} {words[1]}: {done.stderr.strip()}")
        return done.stdout

    def costs_at(self, file, names):
        """{point: {"latency_us", "energy_uj", "basis"}}"""
        costs = {}
        for start in range(0, len(names), 500):
            part = names[start:start + 500]
            costs.update(zip(part, json.loads(self.call("cost", "at", file, "--json", *part))))
        return costs


def write_records(folder, head, records):
    folder.mkdir()
    with open(folder / "records.jsonl", "w", encoding="utf-8") as file:
        for line in (head, *records):
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
    return folder


def tables(model):
    """Names of the tables that a cost model has."""
    return {(e["op"], tuple(e["shape"]), e["dtype"], e.get("group_size")) for e in model["entries"]}


def key_of(point):
    return point["op"], tuple(point["shape"]), point["dtype"], point["group"]


def evaluated(program, head, records, slices, folder):
    """The cost model's path (None where no energy was measured), its JSON, held-out points, and what could not be asked."""
    kept, held_out = [], []
    for line in records:
        away = line["kind"] in ("time", "energy") and is_held_out(line["point"], slices)
        (held_out if away else kept).append(line)
    rest = write_records(folder / "rest", head, [line for line in kept if line["kind"] != "repeat"])
    truth = write_records(folder / "held_out", head, held_out)
    program.call("profile", "--files-only", "--out", rest)
    path = rest / "kernel_cost_model.json"
    model = read_json(path) if path.exists() else None
    asked_of = path if model else rest / "records.jsonl"
    known = tables(model) if model else {key_of(parsed(line["point"])) for line in kept if line["kind"] == "time"}
    names = [line["point"] for line in held_out if line["kind"] == "time"]
    askable = [name for name in names if key_of(parsed(name)) in known]
    predicted = program.costs_at(asked_of, askable)
    measured = program.costs_at(truth / "records.jsonl", askable)
    with_energy = {line["point"] for line in held_out if line["kind"] == "energy"}
    points = [compared(name, predicted[name], measured[name], name in with_energy) for name in askable]
    there = [line["point"] for line in kept if line["kind"] == "time" and key_of(parsed(line["point"])) in known]
    rows = [{**parsed(name), **cost} for name, cost in program.costs_at(asked_of, there).items()]
    return path if model else None, model, points, rows, len(names) - len(askable)


def compared(name, predicted, measured, with_energy):
    """A held-out point; errors are relative to what was measured."""
    if measured["basis"] != "measured" or predicted["basis"] == "measured":
        raise BadInput(f"{name}: was {'not ' if measured['basis'] != 'measured' else ''}measured where its table is held against "
                       "it; were all points timed by the same means?")
    point = {"point": name, **parsed(name), "basis": predicted["basis"], "latency_us": measured["latency_us"],
             "predicted_us": predicted["latency_us"], "latency_error": predicted["latency_us"] / measured["latency_us"] - 1,
             "energy_uj": None, "predicted_uj": predicted["energy_uj"], "energy_error": None}
    # A held-out point without a window of its own has no energy, or one that was fitted.
    if with_energy and measured["energy_uj"] and predicted["energy_uj"] is not None:
        point.update(energy_uj=measured["energy_uj"], energy_error=predicted["energy_uj"] / measured["energy_uj"] - 1)
    return point


# --- Figures

def sized(errors):
    """Median, 95th percentile and largest of absolute values; None of nothing."""
    sizes = sorted(abs(error) for error in errors if error is not None)
    if not sizes:
        return None
    p95 = statistics.quantiles(sizes, n=20, method="inclusive")[-1] if len(sizes) > 1 else sizes[0]
    return {"points": len(sizes), "median": statistics.median(sizes), "p95": p95, "largest": sizes[-1]}


def group_of(point):
    return "expert layers" if point["op"].startswith("moe_experts") else "single ops"


def summaries(points):
    """A line an op, shape and dtype, for interpolated and extrapolated points apart."""
    keys = dict.fromkeys((p["basis"], *key_of(p)) for p in points)
    for basis, *key in keys:
        those = [p for p in points if p["basis"] == basis and key_of(p) == tuple(key)]
        yield {"basis": basis, "op": key[0], "shape": list(key[1]), "dtype": key[2], "group": key[3],
               "latency": sized([p["latency_error"] for p in those]), "energy": sized([p["energy_error"] for p in those])}


def by_slice(points, slices):
    """Interpolated expert layers of each held-out number: which direction it is that bends."""
    for key in ("tokens", "active"):
        for number in slices[key]:
            those = [p for p in points if p["basis"] == "interpolated" and group_of(p) == "expert layers" and p[key] == number]
            if those:
                yield {"slice": f"{number} {'tokens' if key == 'tokens' else 'active experts'}",
                       "latency": sized([p["latency_error"] for p in those]), "energy": sized([p["energy_error"] for p in those])}


def targets(points, repeats):
    """What was asked; met is None where nothing was measured."""
    for group in ("expert layers", "single ops"):
        those = [p for p in points if p["basis"] == "interpolated" and group_of(p) == group]
        for quantity in ("latency", "energy"):
            size = sized([p[f"{quantity}_error"] for p in those])
            for figure, limit in (("median", MEDIAN), ("p95", P95)):
                yield {"asked": f"{group}, {quantity}: {figure} error of interpolation", "most": limit,
                       "value": size and size[figure], "points": size["points"] if size else 0,
                       "met": size and size[figure] <= limit}
    within = sum(r["within"] for r in repeats)
    yield {"asked": "repeated points whose median lies within the first's spread", "least": 1.0,
           "value": within / len(repeats) if repeats else None, "points": len(repeats),
           "met": within == len(repeats) if repeats else None}


def repeated(records):
    """Each point that was timed twice: how far the median moved, against the first's (p90 - p10) / (2 median)."""
    first = {line["point"]: line["spans_ns"] for line in records if line["kind"] == "time"}
    for line in records:
        if line["kind"] != "repeat" or line["point"] not in first:
            continue
        was = first[line["point"]]
        tenths = statistics.quantiles(was, n=10, method="inclusive") if len(was) > 1 else [0.0] * 9
        spread = (tenths[8] - tenths[0]) / (2 * statistics.median(was))
        change = statistics.median(line["spans_ns"]) / statistics.median(was) - 1
        yield {"point": line["point"], "spread": spread, "change": change, "within": abs(change) <= spread}


def range_of(values):
    there = [value for value in values if value is not None]
    return {"least": min(there), "median": statistics.median(there), "most": max(there)} if there else None


def model_facts(model):
    """What the page says of the cost model."""
    if model is None:
        return None
    rows = [(entry["op"].startswith("moe_experts"), row) for entry in model["entries"] for row in entry["rows"]]
    return {"idle_active_w": model["idle_active_w"], "idle_cold_w": model["idle_cold_w"], "thermal": model.get("thermal"),
            "perturbation": model["perturbation"], "sensors": model.get("sensors"),
            "clocks": model.get("clocks"), "models": [m["name"] for m in model.get("models", [])],
            "rows": len(rows), "expert_rows": sum(expert for expert, _ in rows),
            "energies_measured": sum(row.get("energy_uj") is not None and not row.get("energy_fitted", False) for _, row in rows),
            "energies_fitted": sum(bool(row.get("energy_fitted", False)) for _, row in rows),
            "methods": {f"{e['op']} {e['shape']} {e['dtype']}": e.get("method", "") for e in model["entries"]}}


def result_of(head, records, machine, slices, model, points, unasked, costs):
    repeats = list(repeated(records))
    states = [line for line in records if line["kind"] in ("time", "energy")]
    count = {kind: sum(line["kind"] == kind for line in records) for kind in ("time", "repeat", "energy", "thermal")}
    return {"schema": 1, **{key: head.get(key) for key in (*SAME, "seed")}, **machine,
            "sources": sorted({line["source"] for line in records if line["kind"] == "time"}), "records": count,
            "temperature_c": range_of(line.get("temperature_c") for line in states),
            "sm_mhz": range_of(line.get("sm_mhz") for line in states),
            "memory_mhz": range_of(line.get("memory_mhz") for line in states),
            "held_out": slices, "costs": str(costs) if costs else None, "cost_model": model_facts(model), "without_table": unasked,
            "targets": list(targets(points, repeats)), "summary": list(summaries(points)),
            "slices": list(by_slice(points, slices)), "repeats": repeats, "points": points}


def write(result, rows, out):
    """The result's JSON, its page and the plots that the page shows."""
    out.parent.mkdir(parents=True, exist_ok=True)
    plots = {}
    for shape in dict.fromkeys(tuple(p["shape"]) for p in rows if group_of(p) == "expert layers"):
        name = f"{out.name}-{'x'.join(map(str, shape))}.svg"
        plots[name] = table_plot(result["device"], shape, rows, result["points"])
    if any(group_of(p) == "expert layers" for p in result["points"]):
        plots[f"{out.name}-errors.svg"] = error_plot(result["device"], result["points"], MEDIAN)
    for old in out.parent.glob(f"{out.name}-*.svg"):
        old.unlink()
    for name, text in plots.items():
        (out.parent / name).write_text(text, encoding="utf-8")
    write_json(out.with_suffix(".json"), result)
    write_page(out.with_suffix(".md"), markdown(result, list(plots)))


def numbers(words):
    return [int(word) for word in words.split()]


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="FOLDER", help="of thermoe profile")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="writes OUT.json, OUT.md and OUT-*.svg")
    parser.add_argument("--costs", type=pathlib.Path, help="where the cost model is kept; else it is not")
    parser.add_argument("--held-out-tokens", type=int, nargs="*", default=numbers(OUT_TOKENS), metavar="T")
    parser.add_argument("--held-out-active", type=int, nargs="*", default=numbers(OUT_ACTIVE), metavar="D")
    parser.add_argument("--thermoe", type=pathlib.Path, default=ROOT / "build/cpu-release/src/cli/thermoe", help="the program")
    options = parser.parse_args(arguments)
    slices = {"tokens": options.held_out_tokens, "active": options.held_out_active}
    head, records, machine = joined(options.folders)
    with tempfile.TemporaryDirectory() as temporary:
        path, model, points, rows, unasked = evaluated(Program(options.thermoe), head, records, slices,
                                                       pathlib.Path(temporary))
        if options.costs and path is None:
            raise BadInput("--costs: no energy was measured, so that there is no cost model; profile with --energy")
        if options.costs:
            options.costs.parent.mkdir(parents=True, exist_ok=True)
            part = options.costs.with_suffix(".part")  # whole or not at all
            shutil.copyfile(path, part)
            part.replace(options.costs)
    write(result_of(head, records, machine, slices, model, points, unasked, options.costs), rows, options.out)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except BadInput as error:
        print(f"cost_model_results: {error}", file=sys.stderr)
        sys.exit(2)
