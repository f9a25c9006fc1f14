#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes the committed results of simulated runs again, and the tables of docs/results/README.md.

Runs every experiment (the demo with seeds 1, 2, 3) into DIR, copies each summary.json to docs/results/ and prints
the tables as Markdown. A run that DIR already holds is not made again.

  tools/run_results.py --dir runs/results
  tools/run_results.py --dir runs/results --tables   # only print, of the runs that are there
"""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys

DEMO_SEEDS = (1, 2, 3)
MODES = {"both (demo)": "demo_seed1", "dual_only": "dual_only", "adapter_only": "adapter_only"}
ROOT = pathlib.Path(__file__).resolve().parents[1]


def runs():
    """{name of the result: arguments of `thermoe run`}"""
    found = {f"demo_seed{seed}": ["experiments/demo.json", "--seed", str(seed)] for seed in DEMO_SEEDS}
    for path in sorted((ROOT / "experiments").glob("*.json")):
        if path.stem != "demo" and json.loads(path.read_text(encoding="utf-8")).get("machine") != "gpu":
            found[path.stem] = [f"experiments/{path.name}"]
    return found


def percent(value, digits=1):
    return "–" if value is None else f"{100 * value:.{digits}f} %"


def loss(strategy):
    """Against BASELINE: % of bits/byte, or nats of router mass where no text was decoded."""
    if strategy["bits_per_byte"] is None:
        return f"{strategy['quality_loss_nats']:.4f} nats"
    return f"{strategy['quality_loss_percent']:+.2f} %"


def interval(strategy):
    ends = strategy["quality_loss_interval_percent"]
    if strategy["name"] == "BASELINE" or ends is None:
        return "–"
    return f"{ends[0]:+.2f}..{ends[1]:+.2f} %"


def seconds(value):
    return "–" if value is None else f"{value:.1f}"


def read(folder, name):
    """The strategies of a run: summary.json's members and, under "targets", details.json's."""
    summary = json.loads((folder / name / "summary.json").read_text())["strategies"]
    details = json.loads((folder / name / "details.json").read_text())["strategies"]
    return {s["name"]: {**s, "targets": d["targets"], "fallbacks": s["fallbacks"]} for s, d in zip(summary, details)}


def strategy_rows(label, strategies):
    for s in strategies.values():
        target = s["targets"][0]
        yield (f"| {label} | {s['name']} | {s['mean_power_w']:.1f} | {percent(target['violation_fraction'])} | "
               f"{percent(target['over_target_fraction'])} | {seconds(s['settling_time_s'])} | {s['max_temperature_c']:.1f} | "
               f"{s['mean_active_experts']:.1f} | {loss(s)} | {interval(s)} |")


def target_rows(name, strategies):
    ours, baseline = strategies["KERNEL_AWARE_TTHA"], strategies["BASELINE"]
    for target, before in zip(ours["targets"], baseline["targets"]):
        yield (f"| {name} | {target['target']} {target['value']:g} | {target['mean']:.4g} | "
               f"{target['highest_1s_mean']:.4g} | {percent(target['violation_fraction'])} | "
               f"{percent(target['over_target_fraction'])} | {seconds(target['settling_time_s'])} | "
               f"{before['mean']:.4g} | {loss(ours)} | {interval(ours)} | {ours['fallbacks']} |")


def mode_rows(folder):
    for mode, name in MODES.items():
        s = read(folder, name)["KERNEL_AWARE_TTHA"]
        target = s["targets"][0]
        yield (f"| {mode} | {s['mean_power_w']:.1f} | {percent(target['violation_fraction'])} | "
               f"{percent(target['over_target_fraction'])} | {seconds(s['settling_time_s'])} | {loss(s)} | {interval(s)} | "
               f"{s['kl_to_baseline']:.4f} |")


def print_tables(folder):
    columns = "strategy | mean W | violation | above target | settling s | max °C | D | loss | 95 % interval |"
    print(f"| seed | {columns}\n|{'---|' * 10}")
    for seed in DEMO_SEEDS:
        print(*strategy_rows(seed, read(folder, f"demo_seed{seed}")), sep="\n")
    print(f"\n| experiment | {columns}\n|{'---|' * 10}")
    print(*strategy_rows("trace", read(folder, "trace")), sep="\n")
    print("\n| experiment | target | mean | highest 1 s mean | violation | above target | settling s | BASELINE's mean | loss "
          f"| 95 % interval | fallbacks |\n|{'---|' * 11}")
    for name in runs():
        if not name.startswith("demo") and name not in MODES.values() and name != "trace":
            print(*target_rows(name, read(folder, name)), sep="\n")
    print(f"\n| mode | mean W | violation | above target | settling s | loss | 95 % interval | KL |\n|{'---|' * 8}")
    print(*mode_rows(folder), sep="\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dir", type=pathlib.Path, required=True, help="folder of the runs")
    parser.add_argument("--tables", action="store_true", help="run nothing")
    parser.add_argument("--thermoe", default="build/cpu-release/src/cli/thermoe", help="the binary (default %(default)s)")
    args = parser.parse_args()
    try:
        for name, arguments in runs().items():
            if args.tables or (args.dir / name / "summary.json").exists():
                continue
            subprocess.run([args.thermoe, "run", *arguments, "--out", str(args.dir / name)], check=True, cwd=ROOT,
                           stdout=subprocess.DEVNULL)
            shutil.copy(ROOT / args.dir / name / "summary.json", ROOT / "docs/results" / f"{name}.json")
        print_tables(ROOT / args.dir)
    except (OSError, subprocess.CalledProcessError) as error:
        print(f"run_results: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
