#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Joins runs of a closed loop into one result: rounds of each experiment, differences within a round, targets met or missed.

  tools/closed_loop_results.py OUT/runs/* --twins OUT/simulated/runs/* --out docs/results/closed-loop-h100

Runs of one name (and one fixed price) are rounds of one experiment; whatever else differs in them is refused, and so is
a simulated run among real ones. Experiments that differ in expert type, workload or price alone share a table, and so do
those of one strategy without a target.
--twins are simulated runs of the same experiments, held against the real ones as predictions; --refitted likewise, of a
simulated GPU with measured costs. Writes OUT.json, OUT.md and a plot an experiment; what stands in the page below the
line `<!-- written by hand -->` is kept.
"""
import argparse
import json
import math
import pathlib
import statistics
import sys

import closed_loop_page
import closed_loop_plot
from result_page import write_page
from run_folders import HARDWARE, BadInput, comparable, figures, mean, read_run, refuse_difference

OURS, STATIC = "KERNEL_AWARE_TTHA", "STATIC_OPTIMAL"
RIVALS = (STATIC, "OPPORTUNISTIC", "REDUCED_K")
PAIRED = ("mean_power_w", "joules_per_token", "quality_loss_percent", "quality_loss_nats")  # nats where no text was decoded
# Of KERNEL_AWARE_TTHA, by what its first target caps: (what is asked, figure of a round, least, most).
ASKED = {
    "power_w": [("mean / cap", lambda s: s["target"]["mean"] / s["target"]["value"], 0.97, 1.01),
                ("violations, share of the time", lambda s: s["target"]["violation_fraction"], None, 0.02),
                ("settling, s", lambda s: s["target"]["settling_time_s"], None, 3.0)],
    "temperature_c": [("mean of the last 60 s − cap, °C", lambda s: s["last_temperature_c"] - s["target"]["value"], None, 0.5),
                      ("maximum of the last 60 s − cap, °C",
                       lambda s: s["highest_last_temperature_c"] - s["target"]["value"], None, 1.0)],
    "step_ms": [("p95 of the ticks after 3 s / cap", lambda s: s["p95_step_ms_after_start"] / s["target"]["value"], None, 1.02),
                ("p95 of the 1 s means after 3 s / cap", lambda s: s["p95_step_ms_1s_after_start"] / s["target"]["value"], None, 1.02)],
}
SIZES = {"batch", "arrival.tokens_per_second", "decode_steps_per_tick"}  # which follow the workload
FAILING = 0.02  # share of the tenant's time above which STATIC_OPTIMAL is shown to fail
PREDICTED = (("mean_power_w", 0.05), ("joules_per_token", 0.05), ("mean_step_ms", 0.10), ("active_experts", None), ("lambda", None))
# 97.5 % quantiles of Student's t for 2, 3, … degrees of freedom; fewer rounds have a range instead.
STUDENT = (4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)


class Group:
    """Rounds of one experiment."""

    def __init__(self, runs):
        self.runs, self.experiment, self.name = runs, runs[0].experiment, runs[0].experiment["name"]
        self.price = self.experiment.get("control", {}).get("price")
        for other in runs[1:]:
            refuse_difference(runs[0], other)
        self.rounds, self.turns = [], []
        for run in runs:
            for number in sorted({turn.round for turn in run.turns}):
                turns = [turn for turn in run.turns if turn.round == number]
                self.turns.append({turn.strategy: turn.ticks for turn in turns})
                self.rounds.append({"round": len(self.rounds) + 1, "run": run.folder.name, "turn": number,
                                    **{key: run.machine[key] for key in ("card", "commit", "command")},
                                    "device_memory_bytes": run.machine["device_memory_bytes"], "strategies": [figures(turn) for turn in turns]})

    def strategies(self):
        return list(dict.fromkeys(s["strategy"] for r in self.rounds for s in r["strategies"]))

    def of(self, strategy):
        """The strategy's figures, a round each."""
        return [s for r in self.rounds for s in r["strategies"] if s["strategy"] == strategy]


def grouped(runs):
    groups = {}
    for run in runs:
        if not isinstance(run.experiment.get("name"), str):
            raise BadInput(f"{run.folder / 'config.json'}: /experiment/name is missing")
        groups.setdefault((run.experiment["name"], run.experiment.get("control", {}).get("price")), []).append(run)
    return [Group(members) for members in groups.values()]


def interval(values):
    """Of a mean of rounds: 95 % by Student's t from three rounds on, of two their range, of one none."""
    if len(values) == 1:
        return {"kind": "one round", "ends": None}
    if len(values) == 2:
        return {"kind": "range", "ends": [min(values), max(values)]}
    half = STUDENT[min(len(values), len(STUDENT) + 2) - 3] * statistics.stdev(values) / math.sqrt(len(values))
    centre = statistics.fmean(values)
    return {"kind": "95 % t", "ends": [centre - half, centre + half]}


def paired(group):
    """Differences within a round, ours − rival's."""
    for rival in RIVALS:
        pairs = []
        for r in group.rounds:
            here = {s["strategy"]: s for s in r["strategies"]}
            if OURS in here and rival in here:
                pairs.append((here[OURS], here[rival]))
        for figure in PAIRED:
            if figure == "quality_loss_nats" and any(a["quality_loss_percent"] is not None for a, _ in pairs):
                continue
            values = [a[figure] - b[figure] for a, b in pairs if a[figure] is not None and b[figure] is not None]
            if values:
                yield {"ours": OURS, "rival": rival, "figure": figure, "rounds": len(values), "differences": values,
                       "mean": statistics.fmean(values), "interval": interval(values)}


def verdicts(group):
    """What was asked of this experiment, and whether every round did it."""
    rounds = [s for s in group.of(OURS) if s["target"]]
    kind = rounds[0]["target"]["target"] if rounds else None
    for what, figure, least, most in ASKED.get(kind, []):
        values = [known(figure, s) for s in rounds]
        met = all(v is not None and (least is None or v >= least) and v <= most for v in values)
        yield {"strategy": OURS, "asked": what, "least": least, "most": most, "rounds": values, "met": met}
    failing = [s["violation_with_tenant"] for s in group.of(STATIC) if s["violation_with_tenant"] is not None]
    if failing and kind == "power_w":
        yield {"strategy": STATIC, "asked": "fails while the tenant works: violations, share of that time", "least": FAILING,
               "most": None, "rounds": failing, "met": all(v > FAILING for v in failing)}


def known(figure, strategy):
    """None where a figure that it is made of is absent."""
    try:
        return figure(strategy)
    except TypeError:
        return None


def alike(groups, free):
    """Sets of groups whose experiments differ in nothing but what is free, in order."""
    sets = {}
    for group in groups:
        sets.setdefault(json.dumps(comparable(group.experiment, free), sort_keys=True), []).append(group)
    return list(sets.values())


def varied(groups, key, also_free=()):
    """Those of them that do differ in `key`."""
    return [members for members in alike(groups, {"name", key, *also_free})
            if len({group.experiment.get(key) for group in members}) > 1]


def predictions(groups, twins):
    """Simulated against real, a row a strategy; errors are of the simulated one."""
    known = {(group.name, group.price): group for group in groups}
    for twin in twins:
        real = known.get((twin.name, twin.price))
        if real is None:
            print(f"closed_loop_results: no real run of {twin.name}; its twin predicts nothing", file=sys.stderr)
            continue
        refuse_difference(real.runs[0], twin.runs[0], HARDWARE)
        for strategy in (s for s in real.strategies() if twin.of(s)):
            row = {"experiment": real.name, "price": real.price, "strategy": strategy, "figures": {}}
            for figure, asked in PREDICTED:
                measured, predicted = (median(group.of(strategy), figure) for group in (real, twin))
                if measured and predicted is not None:
                    error, limit = predicted / measured - 1, None if real.price is None else asked
                    row["figures"][figure] = {"measured": measured, "predicted": predicted, "error": error, "limit": limit,
                                              "met": None if limit is None else abs(error) <= limit}
            yield row


def median(rounds, figure):
    values = [s[figure] for s in rounds if s.get(figure) is not None]
    return statistics.median(values) if values else None


WINDOW_S, BIN = 5.0, 8


def utilisation(groups):
    """SM and memory utilisation against D: windows of 5 s without a tenant, in bins of 8 experts, by what runs and how often."""
    bins = {}
    for group in groups:
        arrival = group.experiment.get("arrival", {})
        for turn in (t for turns in group.turns for t in turns.values()):
            windows = {}
            for i, time in enumerate(turn["time_s"]):
                windows.setdefault(int((time - 1e-6) // WINDOW_S), []).append(i)
            batch = round(sum(filter(None, turn["tokens"])) / (sum(filter(None, turn["steps"])) or 1.0))
            for ticks in windows.values():
                active, sm, memory, watts = ([turn[c][i] for i in ticks] for c in ("active_experts", "gpu_util", "mem_util", "power_true_w"))
                if any(turn["background_power_w"][i] for i in ticks) or None in map(mean, (active, sm, memory, watts)):
                    continue
                shape = (json.dumps(group.experiment.get("costed_as")), group.experiment.get("expert_type"),
                         batch, arrival.get("kind"), arrival.get("tokens_per_second"))
                bins.setdefault(shape, {}).setdefault(int(mean(active) // BIN), []).append(tuple(map(mean, (active, sm, memory, watts))))
    for (costed, kind, batch, arrival, rate), rows in bins.items():
        yield {"costed_as": json.loads(costed), "expert_type": kind, "batch": batch, "arrival": arrival, "tokens_per_second": rate,
               "bins": [{"windows": len(rows[b]), **dict(zip(("active_experts", "gpu_util", "mem_util", "power_w"),
                                                              map(statistics.fmean, zip(*rows[b]))))} for b in sorted(rows)]}


def result_of(groups, twins, refitted, command):
    runs = [run for group in groups for run in group.runs]
    clocks = [v for group in groups for turns in group.turns for ticks in turns.values() for v in ticks["sm_clock_mhz"] if v is not None]

    def said(key):
        return ", ".join(dict.fromkeys(str(run.machine[key]) for run in runs if run.machine[key])) or None

    shared = {key: [[groups.index(g) for g in members] for members in found] for key, found in tables(groups).items()}
    in_table = {i for found in shared.values() for members in found for i in members}
    return {
        "schema": 1, "device": said("device"), "driver": said("driver"), "commit": said("commit"), "command": command,
        "clocks": {"sm_mhz": {"least": min(clocks), "median": statistics.median(clocks), "most": max(clocks)} if clocks else None},
        "simulated": runs[0].simulated, "cards": sorted({run.machine["card"] for run in runs if run.machine["card"]}),
        "experiments": [{"name": g.name, "experiment": g.experiment, "rounds": g.rounds, "paired": list(paired(g)),
                         "asked": list(verdicts(g)), "in_table": i in in_table} for i, g in enumerate(groups)],
        "tables": shared,
        "utilisation": list(utilisation(groups)),
        "predictions": list(predictions(groups, twins)),
        "refitted": list(predictions(groups, refitted)),
    }


def tables(groups):
    """Experiments that share a table, by what they differ in."""
    priced = [g for g in groups if g.price is not None]
    rest = [g for g in groups if g.price is None]
    found = {"control.price": alike(priced, {"name", "control.price"}), "expert_type": varied(rest, "expert_type"),
             "workload": varied(rest, "workload", SIZES)}
    shared = [g for members in found.values() for group in members for g in group]
    uncapped = [g for g in rest if g not in shared and not g.experiment.get("targets") and len(g.strategies()) == 1]
    return {"targets": [uncapped] if uncapped else [], **found}


def plots(groups, result, out):
    """{experiment: file name} of each that has a page section: the strategies of the first round, or all rounds of the only strategy."""
    drawn = {}
    for group, said in zip(groups, result["experiments"]):
        if said["in_table"]:
            continue
        path = out.with_name(f"{out.name}-{group.name.replace('_', '-')}.svg")
        turns, title = group.turns[0], f"{group.name}, round 1"
        if len(group.strategies()) == 1:
            name, = group.strategies()
            turns = {f"round {i}": turn[name] for i, turn in enumerate(group.turns, 1)} if len(group.turns) > 1 else turns
            title = f"{group.name}, {name}"
        path.write_text(closed_loop_plot.svg(title + (" (simulated)" if result["simulated"] else ""), turns,
                                             group.experiment.get("targets", {}), result["simulated"]), encoding="utf-8")
        drawn[group.name] = path.name
    return drawn


def read_all(folders):
    runs = [read_run(folder) for folder in folders]
    for run in runs:
        if run.simulated != runs[0].simulated:
            raise BadInput(f"{run.folder / 'config.json'}: /simulated is {json.dumps(run.simulated)}, "
                           f"but {json.dumps(runs[0].simulated)} in {runs[0].folder / 'config.json'}; simulated runs belong to --twins")
        if run.machine["device"] != runs[0].machine["device"]:
            raise BadInput(f"{run.folder / 'summary.json'}: /device is {run.machine['device']}, but {runs[0].machine['device']} in "
                           f"{runs[0].folder / 'summary.json'}; results of two devices are not joined")
    return runs


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", nargs="+", type=pathlib.Path, metavar="RUN", help="folder of a run; the first is the main experiment's")
    parser.add_argument("--twins", nargs="+", type=pathlib.Path, default=[], metavar="RUN", help="simulated runs of the same experiments")
    parser.add_argument("--refitted", nargs="+", type=pathlib.Path, default=[], metavar="RUN", help="the same with a plant whose costs were measured")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="writes OUT.json, OUT.md and OUT-EXPERIMENT.svg")
    options = parser.parse_args(arguments)
    try:
        runs, twins, refitted = map(read_all, (options.runs, options.twins, options.refitted))
        for flag, simulated in (("--twins", twins), ("--refitted", refitted)):
            if simulated and not simulated[0].simulated:
                raise BadInput(f"{flag}: {simulated[0].folder} was not simulated")
        groups = grouped(runs)
        command = "tools/closed_loop_results.py " + " ".join(path.name for path in options.runs)
        result = result_of(groups, grouped(twins), grouped(refitted), command)
    except BadInput as error:
        print(f"closed_loop_results: {error}", file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.with_name(options.out.name + ".json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    write_page(options.out.with_name(options.out.name + ".md"),
               closed_loop_page.markdown(result, plots(groups, result, options.out)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
