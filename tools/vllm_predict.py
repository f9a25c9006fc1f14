#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Predicts turns of tools/vllm_proof by the simulated serving machine: watts, time between tokens and active experts.

  tools/vllm_predict.py OUT [OUT ...] --thermoe build/cpu-release/src/cli/thermoe --out docs/results/vllm-h100-predicted

Each OUT is a folder that tools/vllm_proof/prove wrote. Of each turn an experiment is made (docs/experiments.md) that `thermoe run`
runs: the turn's requests, its engine's limits, its strategy and targets, the costs of data/h100/vllm_cost_model.json, the random
router of docs/serving.md (of turns with a recorded router that of --trace, and trace_costs.py's costs); of what was measured in
the turn only the die's temperature, which sets idle power. Both sides are looked at in the thirds without the tenant, and none
is simulated. Writes OUT.json and OUT.md.
"""
import argparse
import csv
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile

import synthesise_trace
import vllm_results
from result_page import table, write_page
from run_folders import BadInput, member, read_json, write_json

ROOT = pathlib.Path(__file__).resolve().parents[1]
from arrivals import poisson  # noqa: E402  (of vllm_proof, whose folder vllm_results puts on the path)
from engine import QWEN, TRACE  # noqa: E402
from strategies import PLUGIN, STATIC_SAMPLES, STOCK  # noqa: E402
from trace_costs import cost_model  # noqa: E402

DATA = ROOT / "data/h100"
COSTS = DATA / "vllm_cost_model.json"
VALIDATION = ROOT / "docs/results/serving-validation.json"  # has the router's skew
#: Of the random router's logits; a layer stands for 12.
ROUTER = {"samples": STATIC_SAMPLES, "layers": 4, "tokens": 16, "experts": 128, "k": 8, "seed": 1}
#: {figure: (words, decimals)}
FIGURES = {"power_w": ("W", 1), "between_tokens_ms": ("ms between tokens", 2), "active_experts": ("D", 1)}
COLUMNS = ("time_s", "power_true_w", "steps", "tokens", "mixed_steps", "between_tokens_ms", "active_experts", "batch")


def weighted(pairs):
    """Mean of (value, weight) where there is a value; None without any."""
    there = [(value, weight) for value, weight in pairs if value is not None and weight]
    total = sum(weight for _, weight in there)
    return sum(value * weight for value, weight in there) / total if total else None


def measured(turn):
    """Of the seconds that the tenant had no part in: a second's steps are as many as their times between tokens are short."""
    on, off = turn["tenant_s"]
    rows = [dict(zip(turn["series"]["columns"], row)) for row in turn["series"]["rows"]]
    rows = [r for r in rows if apart(r["time_s"] - 1.0, r["time_s"], turn["seconds"], on, off)]
    busy = [(r, 1.0 / r["between_tokens_ms"]) for r in rows if r["between_tokens_ms"]]
    return {"power_w": turn["power"]["mean_without_tenant_w"],
            "between_tokens_ms": weighted((r["between_tokens_ms"], r["batch"] * steps) for r, steps in busy),
            "active_experts": weighted((r["active_experts"], steps) for r, steps in busy),
            "batch": weighted((r["batch"], steps) for r, steps in busy)}


def apart(start, end, seconds, on, off):
    """Whether a span lies in what is measured, and none of it in the tenant's time."""
    near = 1e-3
    return start >= -near and end <= seconds + near and (end <= on + near or start >= off - near)


def predicted(ticks, turn):
    """The same of a run's ticks: watts of all, the rest of those in which no prompt was read."""
    on, off = turn["tenant_s"]
    warm = turn["engine"]["load"]["warm_s"]
    ends = [tick["time_s"] - warm for tick in ticks]
    starts = [-warm, *ends[:-1]]
    there = [tick for tick, start, end in zip(ticks, starts, ends) if apart(start, end, turn["seconds"], on, off)]
    decode = [tick for tick in there if not tick["mixed_steps"]]
    return {"power_w": weighted((tick["power_true_w"], 1.0) for tick in there),
            "between_tokens_ms": weighted((tick["between_tokens_ms"], tick["tokens"]) for tick in decode),
            "active_experts": weighted((tick["active_experts"], tick["steps"]) for tick in decode),
            "batch": weighted((tick["batch"], tick["steps"]) for tick in decode)}


def read_ticks(path):
    try:
        with open(path, encoding="utf-8", newline="") as file:
            return [{name: float(row[name]) if row[name] else None for name in COLUMNS} for row in csv.DictReader(file)]
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    except (KeyError, ValueError) as error:
        raise BadInput(f"{path}: not the ticks of a run with requests that arrive: {error}") from error


class Machine:
    """The simulated one, and the folder that its inputs lie in. Idle follows the die's temperature by the law of
    bench/machine/serving_validation.cpp."""

    def __init__(self, thermoe, folder, trace):
        self.thermoe, self.folder = thermoe, folder
        self.costs = read_json(COSTS)
        self.plant_idle_w = member(read_json(DATA / "plant.json"), DATA / "plant.json", "/idle_active_w", (int, float))
        steering = DATA / "vllm_steering.json"
        stock_w = member(read_json(steering), steering, "/stock/W", (int, float))
        thermal = member(self.costs, COSTS, "/perturbation/thermal", dict)
        self.idle_w_per_c = thermal["energy_per_c"] * (stock_w - self.costs["idle_active_w"])
        self.reference_c = thermal["reference_c"]
        self.skew = member(read_json(VALIDATION), VALIDATION, "/skew", (int, float))
        self.parts = {QWEN["part"]: {"router": self.random_router(), "costs": COSTS, "costed_as": QWEN["costed_as"]}}
        if trace:
            costs = folder / "trace_costs.json"
            write_json(costs, cost_model(self.costs))
            self.parts[TRACE["part"]] = {"router": trace.resolve(), "costs": costs, "costed_as": TRACE["costed_as"]}

    def random_router(self):
        drawn, path = synthesise_trace.Router(argparse.Namespace(**ROUTER)), self.folder / "router.safetensors"
        synthesise_trace.write(path, drawn.rows(self.skew, 1.0), drawn.shape,
                               {"k": str(ROUTER["k"]), "score_function": "softmax", "source": "tools/vllm_predict.py"})
        return path

    def idle_w(self, temperature_c):
        return self.costs["idle_active_w"] + self.idle_w_per_c * (temperature_c - self.reference_c)

    def experiment(self, turn, name, arrivals):
        """What `thermoe run` is asked for. Rows that pad a graph activate experts in stock vLLM; under the plug-in they count
        for nothing, and no step has any here."""
        load, stock, part = turn["engine"]["load"], turn["strategy"] == STOCK, self.parts[turn["part"]]
        settings = {"config": {}} if stock else member(turn, name, "/settings", dict)
        control = dict(member(settings, name, "config", dict).get("control", {}))
        tick_s, samples = control.pop("tick_s", 0.1), control.pop("calibration_samples", 8)
        targets = {"power_w": settings.get("power_w"), "time_between_tokens_ms": settings.get("time_per_token_ms")}
        temperature_c = member(turn, name, "/power/temperature_c", (int, float))
        return {"schema": 1, "name": name, "decoder": "trace", "trace": {"file": str(part["router"])},
                "strategies": ["BASELINE" if stock else PLUGIN[turn["strategy"]][1]],
                "arrivals": {"kind": "recorded", "file": str(arrivals)},
                "engine": {"batch_limit": load["batch_limit"], **({"graph_sizes": turn["engine"]["graph_sizes"]} if stock else {})},
                "targets": {name: value for name, value in targets.items() if value is not None},
                "costed_as": part["costed_as"], "cost_model": str(part["costs"]),
                "plant": {"file": str(DATA / "plant.json"), "cost_model": str(part["costs"]),
                          "idle_offset_w": round(self.idle_w(temperature_c) - self.plant_idle_w, 3)},
                "control": {"mode": "dual_only", **control}, "calibration_samples": samples, "tick_s": tick_s,
                "duration_s": load["warm_s"] + load["seconds"], "seed": load["seed"]}

    def run(self, turn, name):
        """The turn's ticks."""
        load = turn["engine"]["load"]
        arrivals, file, out = (self.folder / f"{name}{end}" for end in ("-arrivals.csv", ".json", ""))
        times = poisson(load["rate_per_s"], load["warm_s"] + load["seconds"], f"{load['seed']} {turn['round']}")
        lines = [f"{time:.6f},{load['prompt']},{load['length']}" for time in times]
        arrivals.write_text("\n".join(["time,tokens_in,tokens_out", *lines]) + "\n", encoding="utf-8")
        write_json(file, self.experiment(turn, name, arrivals))
        command = [self.thermoe, "run", file, "--out", out, "--force", "--no-report"]
        try:
            ran = subprocess.run(command, capture_output=True, text=True, check=False)
        except OSError as error:
            raise BadInput(f"--thermoe {self.thermoe}: {error.strerror}; build it (README.md)") from error
        if ran.returncode:
            raise BadInput(f"{name}: `thermoe run` of its experiment: {ran.stderr.strip()}")
        return read_ticks(out / "metrics.csv")


def compared(turn, seen, made):
    row = {"part": turn["part"], "round": turn["round"], "strategy": turn["strategy"], "card": turn["engine"].get("card"),
           "temperature_c": rounded(turn["power"]["temperature_c"]), "cap_w": rounded((turn["settings"] or {}).get("power_w"))}
    for name in (*FIGURES, "batch"):
        there = None not in (seen[name], made[name])
        row[name] = {"measured": rounded(seen[name]), "predicted": rounded(made[name]),
                     "error": rounded(made[name] / seen[name] - 1.0) if there else None}
    return row


def rounded(value):
    return None if value is None else float(f"{value:.4g}")


def errors(rows):
    """{which turns: {figure: median and greatest size of the errors, and how many turns have one}}. A strategy that holds a cap
    has its watts from there, so that those of the others say more of the machine."""
    parts = {part: [row for row in rows if row["part"] == part] for part in dict.fromkeys(row["part"] for row in rows)}
    groups = {"all": rows, **(parts if len(parts) > 1 else {}), "no cap asked": [row for row in rows if row["cap_w"] is None],
              "cap asked": [row for row in rows if row["cap_w"] is not None]}
    found = {}
    for group, those in groups.items():
        found[group] = {}
        for name in FIGURES:
            sizes = [abs(row[name]["error"]) for row in those if row[name]["error"] is not None]
            found[group][name] = {"median": rounded(statistics.median(sizes)) if sizes else None,
                                  "worst": max(sizes, default=None), "turns": len(sizes)}
    return found


def page(result):
    def percent(value, sign=""):
        return "–" if value is None else f"{100 * value:{sign}.1f} %"

    def shown(value, digits):
        return "–" if value is None else f"{value:.{digits}f}"
    yield "# The simulated serving machine against these turns"
    yield ""
    yield result["what"]
    yield ""
    lines = []
    for group, those in result["errors"].items():
        for name, (words, _) in FIGURES.items():
            one = those[name]
            if not one["turns"]:
                continue
            lines.append([f"{words}, {group}", percent(one["median"]), percent(one["worst"]), str(one["turns"])])
    yield from table(["error", "median", "worst", "turns"], lines)
    yield ""
    header = ["part", "round", "strategy", "die, °C"]
    for words, _ in FIGURES.values():
        header += [f"{words}, measured", "predicted", "error"]
    lines = []
    for row in result["rows"]:
        line = [row["part"], str(row["round"]), row["strategy"], shown(row["temperature_c"], 1)]
        for name, (_, digits) in FIGURES.items():
            one = row[name]
            line += [shown(one["measured"], digits), shown(one["predicted"], digits), percent(one["error"], "+")]
        lines.append(line + [shown(row["batch"][side], 1) for side in ("measured", "predicted")])
    yield from table([*header, "batch, measured", "predicted"], lines)
    yield ""
    if result["parts_left_out"]:
        yield f"Not predicted: {', '.join(result['parts_left_out'])}, as no recorded router was given."
        yield ""
    yield f"`{result['command']}`"
    yield ""


def result_of(options):
    turns = vllm_results.read_turns(options.folders)
    known = {QWEN["part"], *([TRACE["part"]] if options.trace else [])}
    left = sorted({part for part, _, _ in turns} - known)
    turns = {key: turn for key, turn in turns.items() if key[0] in known}
    if not turns:
        raise BadInput(f"no finished turn of {', '.join(sorted(known))}, but of {', '.join(left)}; --trace names a recorded router")
    if options.trace and not options.trace.is_file():
        raise BadInput(f"--trace {options.trace}: no such file")
    with tempfile.TemporaryDirectory(prefix="vllm_predict_") as temporary:
        folder = options.keep or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        machine = Machine(options.thermoe, folder.resolve(), options.trace)
        rows = []
        for (part, round_, strategy), turn in turns.items():
            name = f"{part}-{round_}-{strategy}"
            rows.append(compared(turn, measured(turn), predicted(machine.run(turn, name), turn)))
            print(f"vllm_predict: {name}: {said(rows[-1])}", file=sys.stderr, flush=True)
    command = " ".join(["tools/vllm_predict.py", *(folder.name for folder in options.folders), "--out", options.out.name])
    return {"schema": 1, "what": WHAT, "simulated": True, "command": command, "parts_left_out": left, "router_skew": machine.skew,
            "errors": errors(rows), "rows": rows}


def said(row):
    return ", ".join(f"{words} {row[name]['measured']} measured, {row[name]['predicted']} predicted"
                     for name, (words, _) in FIGURES.items() if row[name]["error"] is not None)


WHAT = (
    "Simulated beside measured, in the first and last third of a turn, where the tenant does not work; it is not simulated. "
    "Given of a turn are its requests' times, prompt and length, batch limit, captured graphs (stock), the strategy with its "
    "targets and settings, and the die's mean temperature, which sets idle power: no watts, times or experts that were measured "
    "in it, but a cap and a limit come from the round's stock turn. The costs (data/h100/vllm_cost_model.json; of a recorded "
    "router tools/vllm_proof/trace_costs.py) and the random router (normal logits) are fitted to other runs. Time between "
    "tokens and D are of decode steps; D is not known of stock vLLM. A turn starts without the requests that the one before "
    "left, prompts are read without prices, and the step after one that read a prompt is paced; the plug-in's is not, which "
    "makes its mean time between tokens shorter.")


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="OUT", help="what tools/vllm_proof/prove wrote")
    parser.add_argument("--thermoe", type=pathlib.Path, required=True, metavar="PROGRAM", help="the built program")
    parser.add_argument("--trace", type=pathlib.Path, metavar="FILE", help="the recorded router's logits, of turns that had them")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="writes OUT.json and OUT.md")
    parser.add_argument("--keep", type=pathlib.Path, metavar="FOLDER", help="leaves experiments and runs there")
    options = parser.parse_args(arguments)
    try:
        result = result_of(options)
    except BadInput as error:
        print(f"vllm_predict: {error}", file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out.with_suffix(".json"), result)
    write_page(options.out.with_suffix(".md"), page(result))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
