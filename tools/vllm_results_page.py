# SPDX-License-Identifier: Apache-2.0
"""The Markdown page of tools/vllm_results.py."""
import json

from closed_loop_page import INTERVALS, number, spread
from result_page import table, write_page

TRACE = ("Each token's gate logits are those of a recorded token, row = hash(request, position): D is a real router's, and kept mass a "
         "bound, as the logits of experts that were not chosen are not known.")
RANDOM = ("Routing of random weights is nearly uniform: D is larger than a trained model's, and its kept mass says nothing of quality.")
TITLES = {"qwen3-30b-a3b": "Qwen3-30B-A3B's shape, random weights", "gpt-oss-20b-trace": "gpt-oss-20b's recorded router"}


def write(path, result, drawn):
    write_page(path, list(page(result, drawn)))


def page(result, drawn):
    yield f"# A watt cap on vLLM {result['vllm']}, {result['device']}"
    yield ""
    commits, cards = (", ".join(result[key]) or "unknown" for key in ("commits", "cards"))
    yield (f"Driver {result['driver']}, PyTorch {result['torch']}, commit {commits}, cards (a hash each): {cards}. "
           "Made by tools/vllm_results.py of what tools/vllm_proof/prove measured.")
    yield ""
    yield from method(next(iter(result["loads"].values())))
    for part in result["parts"]:
        yield from of_part(part, result, drawn.get(part["part"]))
    yield "## Commands"
    yield ""
    yield "```"
    yield from result["commands"]
    yield result["command"]
    yield "```"
    yield ""


def method(load):
    tenant = (f"in whose middle third another process works on the GPU (matrix products that fill {100 * load['tenant_share']:g} % "
              "of the time of an idle one)." if load["tenant_share"] else "without a tenant.")
    yield (f"{load['rate_per_s']:g} requests/s (Poisson), {load['prompt']} tokens in, {load['length']} out, at most "
           f"{load['batch_limit']} at a time, bf16. Stock is vLLM without the package, in a process of its own; the others are one "
           f"engine, whose settings file changes from turn to turn. A turn is {load['warm_s']:g} s after the change, then "
           f"{load['seconds']:g} s that are measured, {tenant} All strategies of a round meet the same requests.")
    yield ""
    yield ("The limit on the time between tokens is the 99th percentile of the round's stock turn over decode steps, tenant included; "
           "its watts without the tenant give the cap.")
    yield ""
    yield ("W: slope of NVML's energy counter. Violation: a mean of a second (each 0.1 s) above 1.05 × the cap; one that overlaps the "
           "tenant's time counts as with it. Settling: from the change of settings until that mean stays within 5 % of the cap for 5 s. "
           "Time between tokens: as the client sees it, over the tokens of steps that read no prompt. First token: from when the "
           "request was due; the engine runs in the script's process, where a request that comes in a pause waits for its end, as one "
           "of a server does not. Goodput: requests that finished in the window, their mean time between tokens within the limit. "
           "D: distinct experts a layer, decode steps. J: the whole board, idle and tenant included. Kept mass: worked out again from "
           "sampled logits and the plans that ran. A cell is the median over rounds, in parentheses their range. The requests that "
           "are under way at a turn's end finish under the next strategy.")
    yield ""


def of_part(part, result, plot):
    rounds, aims = len(part["rounds"]), result["aims"][part["part"]]
    yield f"## {TITLES.get(part['part'], part['part'])}"
    yield ""
    yield f"{rounds} round{'s' if rounds > 1 else ''}. {TRACE if 'trace' in part['part'] else RANDOM}"
    yield ""
    if aims:
        more = [f"`prefill_token_limit` {aims['prefill_token_limit']}"] if aims["prefill_token_limit"] else []
        more += [f"`config.control` {json.dumps(aims['control'])}"] if aims["control"] else []
        yield (f"The cap is {aims['cap_share']:g} × stock's watts. Asked of the plug-in: `power_w` {aims['power']:g} × the cap, "
               f"`time_per_token_ms` {aims['latency']:g} × the limit (one is a mean, the other a percentile)"
               f"{''.join(', ' + one for one in more)}; of λ = 0 no target.")
        yield ""
    if part["stock_on_another_card"]:
        yield f"Cap and limit are from a stock turn on another card: {', '.join(part['stock_on_another_card'])}."
        yield ""
    yield from asked(part)
    if plot:
        yield f"![Power and active experts over time]({plot})"
        yield ""
    yield from strategies(part, result["words"])
    yield from on_the_host(part, result["words"])
    yield from gained(part, result["words"])
    yield from probed(part)


def asked(part):
    lines = []
    for one in part["asked"]:
        least, most = one["least"], one["most"]
        wanted = f"≥ {least:g}" if most is None else f"≤ {most:g}" if least is None else f"{least:g}..{most:g}"
        rounds = ", ".join("–" if v is None else number(float(v), 4) for v in one["rounds"])
        verdict = "not run" if not one["rounds"] else "met" if one["met"] else "**missed**"
        lines.append([one["asked"], wanted, rounds or "not run", verdict])
    yield "Of ours, met where every round meets it:"
    yield ""
    yield from table(["asked", "target", "rounds", ""], lines)
    yield ""


def strategies(part, words):
    lines = []
    for name, turns in part["strategies"].items():
        def of(*keys, turns=turns, scale=1.0, digits=3, unit=""):
            return spread([inside(turn, keys) for turn in turns], scale=scale, digits=digits, unit=unit)
        finished, came = (sum(turn["requests"][key] for turn in turns) for key in ("finished", "asked"))
        lines.append([
            words[name], of("power", "mean_w", digits=4), of("power", "mean_over_cap"),
            of("power", "violations_without_tenant", scale=100.0, unit=" %"),
            of("power", "violations_with_tenant", scale=100.0, unit=" %"),
            settling([inside(turn, ("power", "settling_s")) for turn in turns if turn["asked"]["power_w"]]),
            f"{of('between_tokens', 'decode_p50_ms')} / {of('between_tokens', 'decode_p99_ms')}", of("asked", "between_tokens_ms"),
            f"{of('requests', 'first_token_p50_ms')} / {of('requests', 'first_token_p99_ms')}", of("joules_per_token"),
            of("joules_per_request"), of("requests", "goodput_requests_per_s"), f"{finished}/{came}", of("between_tokens", "batch"),
            of("experts", "active_experts"), of("kept", "kept_mass", digits=4), of("kept", "loss_nats", scale=1000.0)])
    yield from table(["strategy", "W", "× cap", "violation", "with tenant", "settling s", "ms between tokens p50 / p99", "limit",
                      "ms to first token p50 / p99", "J/token", "J/request", "goodput /s", "finished", "batch", "D", "kept mass",
                      "loss, mnats"], lines)
    yield ""


HOST = (("period", "from start to start"), ("launch", "to launched"), ("device", "on the device"), ("take", "launched to taken"))


def on_the_host(part, words):
    """Where a decode step's time goes, and what was longer in late ones."""
    lines = []
    for name, turns in part["strategies"].items():
        timed = [turn["host"] for turn in turns if turn.get("host")]
        if not timed:
            continue
        late = sum(one["late"] for one in timed)

        def longer(what, timed=timed, late=late):
            return sum(one["late"] * (one["late_by_ms"][what] or 0.0) for one in timed) / late

        def both(what, timed=timed):
            return " / ".join(spread([one[f"{what}_{share}_ms"] for one in timed]) for share in ("p50", "p99"))
        lines.append([words[name], *(both(key) for key, _ in HOST), f"{late} of {sum(one['steps'] for one in timed)}",
                      ", ".join(f"{longer(key):+.1f}" for key, _ in HOST) if late else "–"])
    if lines:
        yield ("Decode steps that follow decode steps, ms, p50 / p99: from when the host schedules one to the next, to when it has "
               "launched it, on the device (a launch that it waits for counts), and from launched to its tokens taken. Late: these came "
               "more than the limit after those before; by how much each part was then above its median, mean:")
        yield ""
        yield from table(["strategy", *(what for _, what in HOST), "late", "then longer by, in this order"], lines)
        yield ""


def settling(rounds):
    """–: there was no cap."""
    never = rounds.count(None)
    if not rounds or never == len(rounds):
        return "never" if rounds else "–"
    return spread(rounds) + (f", never in {never}" if never else "")


def gained(part, words):
    lines = [[words[gain["against"]], gain["figure"], f"{100 * gain['mean']:+.1f} %",
              "..".join(f"{100 * end:+.1f}" for end in gain["interval"]["ends"] or ()) or "–", gain["interval"]["kind"],
              ", ".join(f"{100 * v:+.1f}" for v in gain["rounds"])] for gain in part["gains"]]
    if lines:
        kinds = " or ".join(dict.fromkeys(INTERVALS[gain["interval"]["kind"]] for gain in part["gains"]))
        yield f"Ours against others, within a round: mean and {kinds}."
        yield ""
        yield from table(["against", "figure", "ours is", "interval, %", "which", "rounds, %"], lines)
        yield ""


def probed(part):
    for probes in part["probes"]:
        yield from probe(probes)


def probe(probes):
    sides = {"stock": "without the package", "again": "the same, started again",
             "free": "package installed, nothing asked", "plugin": "under the plug-in, no price"}
    lines = []
    for side, one in probes.items():
        differs = one.get("requests_that_differ")
        same = ("–" if differs is None else "all the same" if differs == 0 else
                f"{differs} of {one['requests']} requests differ, first at token {one['first_difference']}")
        gpu, launch = one.get("gpu_us_a_step"), one.get("routing_us_a_launch")
        profiled = "–" if gpu is None else f"{gpu:.0f}" + ("" if launch is None else f", {launch:.2f} × {one['routing_launches']:.0f}")
        lines.append([sides[side], one["thermoe"] or "–", number(one["ms_a_step"]), profiled, same, str(one["graphs_captured"]),
                      number(one["ready_s"])])
    if lines:
        first = next(iter(probes.values()))
        given = f" made with `{json.dumps(first['arguments'])}`" if first["arguments"] else ""
        yield f"Greedy decoding of {first['requests']} requests in lockstep, {first['length']} tokens each, once an engine{given}:"
        yield ""
        yield from table(["engine", "thermoe in it", "ms a step, median", "GPU µs a step; routing",
                          "tokens against the engine without", "graphs", "ready after s"], lines)
        yield ""


def inside(value, keys):
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value
