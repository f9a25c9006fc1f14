#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Joins the turns of tools/vllm_proof into one result: a table of strategies, targets met or missed, gains within a round.

  tools/vllm_results.py OUT [OUT ...] [--probes OUT] --out docs/results/vllm-h100

Each OUT is a folder that tools/vllm_proof/prove wrote; a turn that is in several is taken from the first. Turns of one part
(a model's shape) and round belong together where their requests are the same; what else differs in them is refused. Writes
OUT.json, OUT.md and a plot a part; what stands in the page below the line `<!-- written by hand -->` is kept.
"""
import argparse
import pathlib
import re
import statistics
import sys

import closed_loop_plot
import vllm_results_page
from closed_loop_results import interval
from run_folders import BadInput, member, read_json, write_json

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "tools/vllm_proof"), str(ROOT / "examples")]
from strategies import OURS, PLUGIN, STOCK, WORDS  # noqa: E402
from vllm_capped import first_difference  # noqa: E402

ORDER = [STOCK, *PLUGIN]
#: What was asked of ours: (what, figure of a turn, least, most).
ASKED = [
    ("mean W / cap", lambda t: t["power"]["mean_over_cap"], 0.97, 1.01),
    ("violations without the tenant, share of the means of a second",
     lambda t: t["power"]["violations_without_tenant"], None, 0.05),
    ("violations with the tenant, likewise", lambda t: t["power"]["violations_with_tenant"], None, 0.10),
    ("p99 of the time between tokens / limit, decode steps",
     lambda t: t["between_tokens"]["decode_p99_ms"] / t["asked"]["between_tokens_ms"], None, 1.0),
    ("requests finished / asked", lambda t: t["requests"]["finished"] / t["requests"]["asked"], 1.0, None),
]
GAINS = (("W", lambda t: t["power"]["mean_w"]), ("J/token", lambda t: t["joules_per_token"]),
         ("J/request", lambda t: t["joules_per_request"]),
         ("requests in time, /s", lambda t: t["requests"]["goodput_requests_per_s"]))
#: In which the turns of a part must not differ.
SAME = (("engine", "device"), ("engine", "vllm"), ("engine", "load"), ("engine", "aims"), ("engine", "graph_sizes"))
#: Kernels that pick experts: vLLM's for softmax, sigmoid and grouped routers, and ours.
ROUTING = re.compile(r"topkGating|topk_softmax|topk_sigmoid|grouped_topk|thermoe::")
NOT_KEPT = ("series", "engine", "schema", "part", "complete")  # of a turn, in the result
NAMES = {STOCK: "stock", **{name: strategy for name, (_, strategy, _) in PLUGIN.items()}}  # in plots


def read_turns(folders):
    """{(part, round, strategy): turn}, of the finished ones."""
    turns, paths = {}, {}
    for folder in folders:
        if not folder.is_dir():
            raise BadInput(f"{folder}: no such folder")
        for path in sorted((folder / "turns").glob("*.json")):
            turn = read_json(path)
            for key, kind in (("/part", str), ("/round", int), ("/strategy", str), ("/power", dict), ("/between_tokens", dict),
                              ("/requests/asked", int), ("/engine/load", dict), ("/asked", dict), ("/series/rows", list)):
                member(turn, path, key, kind)
            if turn["strategy"] not in ORDER:
                raise BadInput(f"{path}: /strategy is {turn['strategy']}; known are {', '.join(ORDER)}")
            key = (turn["part"], turn["round"], turn["strategy"])
            if turn.get("complete") is True and key not in turns:
                turns[key], paths[key] = turn, path
    if not turns:
        raise BadInput(f"{', '.join(map(str, folders))}: no finished turn; tools/vllm_proof/prove writes OUT/turns/*.json")
    for part in {key[0] for key in turns}:
        refuse_differences({paths[key]: turn for key, turn in turns.items() if key[0] == part})
    return dict(sorted(turns.items(), key=lambda item: (item[0][0], item[0][1], ORDER.index(item[0][2]))))


def refuse_differences(turns):
    (first, one), *others = sorted(turns.items(), key=lambda item: item[1]["strategy"] == STOCK)
    for path, other in others:
        for keys in SAME:
            a, b = inside(one, keys), inside(other, keys)
            if a != b and None not in (a, b):  # stock has no aims
                raise BadInput(f"{path}: /{'/'.join(keys)} is {b}, but {a} in {first}; these are different experiments")
    requests = {}
    for path, turn in turns.items():
        seen = requests.setdefault(turn["round"], (path, turn["requests"]["asked"]))
        if seen[1] != turn["requests"]["asked"]:
            raise BadInput(f"{path}: /requests/asked is {turn['requests']['asked']}, but {seen[1]} in {seen[0]}; strategies of a "
                           "round meet the same requests")


def inside(value, keys):
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value


def known(figure, turn):
    """None where a figure that it is made of is absent."""
    try:
        return figure(turn)
    except (TypeError, ZeroDivisionError):
        return None


def verdicts(rounds):
    """What was asked of ours, and whether every round did it."""
    for what, figure, least, most in ASKED:
        values = [known(figure, turn) for turn in rounds]
        met = bool(values) and all(v is not None and (least is None or v >= least) and (most is None or v <= most) for v in values)
        yield {"asked": what, "least": least, "most": most, "rounds": values, "met": met}


def gains(turns, part, against):
    """Ours over another strategy's − 1, within a round."""
    rounds = sorted({number for name, number, _ in turns if name == part})
    pairs = [(turns.get((part, n, OURS)), turns.get((part, n, against))) for n in rounds]
    for what, figure in GAINS:
        values = [known(lambda pair: figure(pair[0]) / figure(pair[1]) - 1, pair) for pair in pairs if None not in pair]
        values = [value for value in values if value is not None]
        if values:
            yield {"figure": what, "against": against, "rounds": values, "mean": statistics.fmean(values),
                   "interval": interval(values)}


def gpu_time(kernels):
    """Of a profiled decode step, µs: of all kernels and copies, and of a launch of those that route."""
    if not kernels:
        return {}
    routing = [(us, count) for us, count, name in kernels if ROUTING.search(name)]
    launches = sum(count for _, count in routing)
    return {"gpu_us_a_step": sum(us for us, _, _ in kernels),
            "routing_us_a_launch": sum(us for us, _ in routing) / launches if launches else None, "routing_launches": launches}


def probes(folders, part):
    """What an engine with the package and one without decode greedily, against the engine without."""
    found = {}
    for folder in folders:
        for side in ("stock", "again", "free", "plugin"):
            path = folder / f"engine-{part}-{side}.json"
            if path.exists() and side not in found:
                said = read_json(path)
                found[side] = {"tokens": member(said, path, "/probe/tokens", list), "ms_a_step": said["probe"]["ms_a_step"],
                               "thermoe": said.get("thermoe"), "card": said.get("card"), "ready_s": said.get("ready_s"),
                               "graphs_captured": said.get("graphs_captured"),
                               "arguments": said.get("engine_arguments") or {}, **gpu_time(said["probe"].get("kernels"))}
    stock = found.get("stock")
    for side, one in found.items():
        tokens = one.pop("tokens") if side != "stock" else one["tokens"]
        if side != "stock" and stock:
            places = first_difference(tokens, stock["tokens"])
            differ = [place for place in places if place is not None]
            one["requests_that_differ"], one["first_difference"] = len(differ), min(differ, default=None)
        one["requests"], one["length"] = len(tokens), len(tokens[0])
    if stock:
        stock.pop("tokens")
    return found


def of_part(turns, part, folders, further):
    rounds = sorted({number for name, number, _ in turns if name == part})
    names = [name for name in ORDER if any((part, number, name) in turns for number in rounds)]
    table = {name: [turns[part, number, name] for number in rounds if (part, number, name) in turns] for name in names}
    apart = [f"round {turn['round']} {name}" for name in names for turn in table[name]
             if turn["stock_card"] not in (None, turn["engine"]["card"])]
    return {"part": part, "rounds": rounds, "stock_on_another_card": apart, "asked": list(verdicts(table.get(OURS, []))),
            "gains": [gain for against in (STOCK, "lambda0") for gain in gains(turns, part, against)],
            "probes": [found for found in (probes(folders, part), probes(further, part)) if found],
            "strategies": {name: [{**{key: value for key, value in turn.items() if key not in NOT_KEPT},
                                   "card": turn["engine"]["card"]} for turn in table[name]] for name in names}}


def result_of(turns, folders, further, command):
    engines = [turn["engine"] for turn in turns.values()]

    def said(key):
        return list(dict.fromkeys(str(engine[key]) for engine in engines if engine.get(key)))

    def of(part, key):
        return next((turn["engine"][key] for (name, _, _), turn in turns.items() if name == part and turn["engine"][key]), None)
    parts = sorted({part for part, _, _ in turns}, key=lambda part: ("trace" in part, part))
    return {"schema": 1, "device": ", ".join(said("device")), "driver": ", ".join(said("driver")),
            "vllm": ", ".join(said("vllm")), "torch": ", ".join(said("torch")), "commits": said("commit"), "cards": said("card"),
            "commands": said("command"), "command": command, "words": WORDS, "loads": {part: of(part, "load") for part in parts},
            "aims": {part: of(part, "aims") for part in parts}, "parts": [of_part(turns, part, folders, further) for part in parts]}


def as_ticks(turn):
    """A turn's series, as the plot of a closed loop reads it."""
    on, off = turn["tenant_s"]
    rows = [row for row in turn["series"]["rows"] if row[1] is not None]
    begun = rows[0][0] if rows else 0.0
    return {"time_s": [row[0] - begun for row in rows], "power_true_1s_w": [row[1] for row in rows],
            "active_experts": [row[3] for row in rows], "background_power_w": [1.0 if on < row[0] <= off else 0.0 for row in rows],
            "temperature_c": [], "step_time_ms": [], "lambda": []}


def plots(turns, result, out):
    """{part: file name}: the first round that has ours."""
    drawn = {}
    for part in result["parts"]:
        number = next((n for n in part["rounds"] if (part["part"], n, OURS) in turns), None)
        if number is None:
            continue
        there = [name for name in ORDER if (part["part"], number, name) in turns]
        lines = {NAMES[name]: as_ticks(turns[part["part"], number, name]) for name in there}
        cap = turns[part["part"], number, OURS]["asked"]["power_w"]
        path = out.with_name(f"{out.name}-{re.sub('[^a-z0-9-]', '-', part['part'])}.svg")
        title = f"{part['part']}, round {number}"
        path.write_text(closed_loop_plot.svg(title, lines, {"power_w": cap}, False), encoding="utf-8")
        drawn[part["part"]] = path.name
    return drawn


def main(arguments):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=pathlib.Path, metavar="OUT", help="what tools/vllm_proof/prove wrote")
    parser.add_argument("--probes", action="append", default=[], type=pathlib.Path, metavar="OUT",
                        help="of engines that were probed alone, with other arguments (serve.py --probe-only --engine ...)")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="writes OUT.json, OUT.md and OUT-PART.svg")
    options = parser.parse_args(arguments)
    try:
        turns = read_turns(options.folders)
        command = " ".join(["tools/vllm_results.py", *(folder.name for folder in options.folders),
                            *(word for folder in options.probes for word in ("--probes", folder.name)), "--out", options.out.name])
        result = result_of(turns, options.folders, options.probes, command)
    except BadInput as error:
        print(f"vllm_results: {error}", file=sys.stderr)
        return 2
    options.out.parent.mkdir(parents=True, exist_ok=True)
    drawn = plots(turns, result, options.out)
    write_json(options.out.with_suffix(".json"), result)
    vllm_results_page.write(options.out.with_suffix(".md"), result, drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
