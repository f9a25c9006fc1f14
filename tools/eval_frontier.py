#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Bits/byte against D on all held-out text: every policy, weight denominator and cut, for several models.

Runs `thermoe eval` a model after the other (each uses all cores), joins what it writes, and prints the tables of
docs/model.md from the joined file.

  tools/eval_frontier.py --model elastic=model/thermoe-e128.safetensors --model plain=runs/plain/model.safetensors \\
      --out docs/results/frontier.json
  tools/eval_frontier.py --markdown docs/results/frontier.json
"""
import argparse
import json
import pathlib
import shlex
import subprocess
import sys
import tempfile

EVALUATION = ["--batches", "all", "--denominator", "picked,reference",
              "--cut", "15", "25", "35", "45", "50", "55", "65"]


def score(thermoe, model, options):
    """What `thermoe eval` says of one model."""
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder) / "eval.json"
        subprocess.run([thermoe, "eval", "--model", model, "--no-domains", *options, "--out", str(out)], check=True,
                       stdout=subprocess.DEVNULL)
        return json.loads(out.read_text())["routing"]


def percent(value, digits=2):
    return f"{value:+.{digits}f} %"


def span(interval, digits=2):
    return "–" if interval is None else f"{interval[0]:+.{digits}f}..{interval[1]:+.{digits}f}"


def loss_cell(row):
    return "–" if row is None else f"{percent(row['loss_percent'])} [{span(row['loss_interval']).replace('..', ', ')}]"


def difference_cell(comparisons):
    """Pricing less OPPORTUNISTIC, with the last denominator that was scored for both."""
    if not comparisons:
        return "–"
    c = comparisons[-1]
    ratio = "–" if c["ratio"] is None else f"{c['ratio']:.2f}"
    return (f"{c['difference_points']:+.2f} [{span(c['difference_interval']).replace('..', ', ')}]; {ratio} "
            f"({c['denominator']})")


def cut_table(routing):
    """The losses of pricing and OPPORTUNISTIC side by side, a row a cut."""
    rows = {(r["cut_percent"], r["policy"], r["denominator"]): r for r in routing["policies"]}
    denominators = list(dict.fromkeys(r["denominator"] for r in routing["policies"]))
    columns = [(policy, d) for policy in ("pricing", "OPPORTUNISTIC") for d in denominators]
    yield ("| cut of D | D | " + " | ".join(f"{policy}, {d}" for policy, d in columns) +
           " | pricing less OPPORTUNISTIC, points; ratio |")
    yield "|---|---|" + "---|" * (len(columns) + 1)
    for cut in sorted({r["cut_percent"] for r in routing["policies"] if r["cut_percent"] is not None}):
        found = [rows.get((cut, *column)) for column in columns]
        priced = next((r for r in found if r is not None), None)
        if priced is None:
            continue
        against = [c for c in routing["comparisons"]
                   if c["cut_percent"] == cut and (c["policy"], c["against_policy"]) == ("pricing", "OPPORTUNISTIC")
                   and c["denominator"] == c["against_denominator"]]
        yield (f"| −{cut:g} % | {priced['mean_active']:.1f} | " + " | ".join(loss_cell(r) for r in found) +
               f" | {difference_cell(against)} |")


def policy_table(routing):
    yield "| weights | policy | D | of D | bits/byte | loss | 95 % interval | kept mass | nats |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for row in routing["policies"]:
        name = row["policy"]
        if row["cut_percent"] is not None:
            name += f", D −{row['cut_percent']:g} %"
        elif row["policy"] != "baseline":
            name += f", k = {row['knob']:g}"
        if not row["reached"]:
            name += " (not reached)"
        yield (f"| {row['denominator']} | {name} | {row['mean_active']:.1f} | {percent(row['active_percent'], 1)} | "
               f"{row['bits_per_byte']:.4f} | {percent(row['loss_percent'])} | {span(row['loss_interval'])} | "
               f"{row['kept_mass']:.4f} | {row['quality_loss_nats']:.4f} |")


def comparison_table(routing):
    yield "| D | loss of | less that of | points | 95 % interval | ratio | 95 % interval |"
    yield "|---|---|---|---|---|---|---|"
    for row in routing["comparisons"]:
        ratio = "–" if row["ratio"] is None else f"{row['ratio']:.2f}"
        ends = row["ratio_interval"]
        yield (f"| −{row['cut_percent']:g} % | {row['policy']}, {row['denominator']} | "
               f"{row['against_policy']}, {row['against_denominator']} | {row['difference_points']:+.3f} | "
               f"{span(row['difference_interval'], 3)} | {ratio} | "
               f"{'–' if ends is None else f'{ends[0]:.2f}..{ends[1]:.2f}'} |")


def markdown(document):
    """The tables: the first of each model as docs/model.md has it, then every row and comparison."""
    lines = []
    for name, routing in document["models"].items():
        lines += [f"**{name}**: {routing['batches']} decode batches of {routing['rows']} × {routing['length']} bytes, "
                  f"{routing['bytes']:,} of {routing['bytes_of_all_text']:,} bytes of {routing['documents']} documents "
                  "counted.", ""]
        lines += [*cut_table(routing), "", *policy_table(routing), "", *comparison_table(routing), ""]
        loads = ", ".join(f"{load:.2f}" for load in routing["expert_load_max_over_mean"])
        lines += [f"Expert load, max/mean by layer: {loads}.", ""]
    return "\n".join(lines)


def named_model(text):
    name, equals, path = text.partition("=")
    if not (name and equals and path):
        raise argparse.ArgumentTypeError(f"{text}: must be NAME=FILE")
    return name, path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=named_model, action="append", default=[], metavar="NAME=FILE",
                        help="a checkpoint and what the tables call it; once a model")
    parser.add_argument("--out", type=pathlib.Path, help="the joined file")
    parser.add_argument("--markdown", type=pathlib.Path, metavar="FILE", help="print the tables of this joined file")
    parser.add_argument("--thermoe", default="build/cpu-release/src/cli/thermoe", help="the binary (default %(default)s)")
    parser.add_argument("options", nargs="*", help="options of thermoe eval, after --, in place of: " + shlex.join(EVALUATION))
    args = parser.parse_args()
    if bool(args.model) != bool(args.out) or not (args.out or args.markdown):
        parser.error("give --model and --out, or --markdown")
    options = args.options or EVALUATION
    try:
        if args.out:
            command = ["tools/eval_frontier.py", *sys.argv[1:]]
            document = {"schema": 1, "command": shlex.join(command), "evaluation": options,
                        "models": {name: score(args.thermoe, path, options) for name, path in args.model}}
            args.out.write_text(json.dumps(document, indent=1) + "\n")
        if args.markdown:
            print(markdown(json.loads(args.markdown.read_text())))
    except (OSError, json.JSONDecodeError, KeyError, subprocess.CalledProcessError) as error:
        print(f"eval_frontier: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
