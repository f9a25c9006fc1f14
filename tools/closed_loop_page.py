# SPDX-License-Identifier: Apache-2.0
"""The Markdown page of a closed loop's results, from what tools/closed_loop_results.py joined."""
import statistics

from result_page import table

FIGURES = {"mean_power_w": ("W", 1.0), "joules_per_token": ("mJ/token", 1000.0),
           "quality_loss_percent": ("bits/byte loss, points of %", 1.0), "quality_loss_nats": ("loss, mnats", 1000.0)}
INTERVALS = {"one round": "no interval (one round)", "range": "range (two rounds)", "95 % t": "95 % interval (Student's t over rounds)"}
UNITS = {"power_w": "W", "temperature_c": "°C", "step_ms": "ms a step"}
MODES = {"both": "dual and adapter", "dual_only": "the dual", "adapter_only": "the adapter alone"}


def number(value, digits=3):
    """So many digits as are worth reading."""
    if value is None:
        return "–"
    if isinstance(value, float) and value != 0 and abs(value) < 100:
        return f"{value:.{digits}g}"
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.1f}"


def spread(values, scale=1.0, digits=3, unit=""):
    """Median and range over rounds; – where no round knows it."""
    there = [scale * value for value in values if value is not None]
    if not there:
        return "–"
    middle, low, high = (number(value, digits) for value in (statistics.median(there), min(there), max(there)))
    return middle + unit + (f" ({low}..{high})" if low != high else "")  # equal as far as they are shown


def of_rounds(experiment, strategy):
    return [s for r in experiment["rounds"] for s in r["strategies"] if s["strategy"] == strategy]


def strategies(experiment):
    return list(dict.fromkeys(s["strategy"] for r in experiment["rounds"] for s in r["strategies"]))


def loss(rounds):
    """% of bits/byte, or mnats of router mass where no text was decoded."""
    if any(s["quality_loss_percent"] is not None for s in rounds):
        return spread([s["quality_loss_percent"] for s in rounds], digits=2, unit=" %")
    return spread([s["quality_loss_nats"] for s in rounds], scale=1000.0, unit=" mnats")


def head(result):
    made = "**Simulated**: watts, degrees and step times are a simulated GPU's. " if result["simulated"] else ""
    clocks = result["clocks"]["sm_mhz"]
    clock = f"SM {clocks['least']:.0f} to {clocks['most']:.0f} MHz (median {clocks['median']:.0f}), " if clocks else ""
    cards = result["cards"]
    yield f"# The closed loop on {'a' if result['simulated'] else 'an'} {result['device']}"
    yield ""
    yield (f"{made}{clock}driver {result['driver'] or 'unknown'}, commit {result['commit'] or 'unknown'}"
           f"{f', cards (a hash each): ' + ', '.join(cards) if cards else ''}. Made by tools/closed_loop_results.py of what "
           "tools/measure_on_gpu measured.")
    yield ""
    yield ("A cell is the median over rounds, in parentheses their range. Violation: share of the time in which the mean of the last "
           "second, of the true value, exceeds 1.05 × the cap (temperature: by 1 °C); above cap: the same for the cap itself; start-up "
           "and transients included. Settling: from the tenant's coming (without one: from the start) until that mean stays within 5 % for 5 s. Loss: of bits/byte "
           "against BASELINE on the same bytes; of a recorded router in nats of kept mass. J/token: the whole GPU, idle and tenant "
           "included. Step percentiles: a tick's steps count with their mean. Last °C: mean of the last 60 s.")
    yield ""


def asked_table(result):
    lines = []
    for experiment in result["experiments"]:
        for asked in experiment["asked"]:
            least, most = asked["least"], asked["most"]
            wanted = f"> {least:g}" if most is None else f"≤ {most:g}" if least is None else f"{least:g}..{most:g}"
            lines.append([experiment["name"], asked["strategy"], asked["asked"], wanted,
                          ", ".join("never" if v is None else number(float(v), 4) for v in asked["rounds"]),
                          "met" if asked["met"] else "**missed**"])
    if lines:
        yield "## What was asked"
        yield ("A target is met where every round meets it; what is asked of one cap on power is put to all of them." +
               (" **Simulated.**" if result["simulated"] else ""))
        yield ""
        yield from table(["experiment", "strategy", "asked", "target", "rounds", ""], lines)
        yield ""


def strategy_table(experiment):
    lines = []
    for strategy in strategies(experiment):
        rounds = of_rounds(experiment, strategy)
        targets = [s["target"] or {} for s in rounds]

        def share(key, places=targets):
            return spread([t.get(key) for t in places], scale=100.0, unit=" %")

        settled = [t.get("settling_time_s") for t in targets]
        never = sum(1 for t in targets if t) - sum(1 for s in settled if s is not None)
        of_cap = [t["mean"] / t["value"] for t in targets if t]
        lines.append([
            strategy, spread([s["mean_power_w"] for s in rounds], digits=4), spread(of_cap), share("violation_fraction"),
            share("over_target_fraction"),
            spread([s["violation_with_tenant"] for s in rounds], scale=100.0, unit=" %"),
            spread(settled) + (f", never in {never}" if never and never < len(targets) else ""),
            spread([s["tokens_per_second"] for s in rounds], digits=4), spread([s["joules_per_token"] for s in rounds]),
            spread([s["active_experts"] for s in rounds]), spread([s["kept_mass"] for s in rounds], digits=4), loss(rounds),
            spread([s["late_share"] for s in rounds], scale=100.0, unit=" %"),
            f"{spread([s['p50_step_ms'] for s in rounds])} / {spread([s['p99_step_ms'] for s in rounds])}",
            spread([s["last_temperature_c"] for s in rounds], digits=3)])
    yield from table(["strategy", "mean W", "× cap", "violation", "above cap", "violation with tenant", "settling s", "tokens/s", "J/token", "D",
                      "kept mass", "loss", "late steps", "step p50 / p99 ms", "last °C"], lines)
    yield ""


def paired_table(experiment):
    if not experiment["paired"]:
        return
    kinds = {p["interval"]["kind"]: INTERVALS[p["interval"]["kind"]] for p in experiment["paired"]}
    yield (f"Differences within a round, KERNEL_AWARE_TTHA − rival: mean and {' or '.join(kinds.values())}. "
           "Intervals cover machine and order, not the choice of text.")
    yield ""
    lines = []
    for p in experiment["paired"]:
        unit, scale = FIGURES[p["figure"]]
        ends = "..".join(f"{scale * end:+.3g}" for end in p["interval"]["ends"] or ()) or "–"
        lines.append([p["rival"], unit, f"{scale * p['mean']:+.3g}", ends, p["interval"]["kind"],
                      ", ".join(f"{scale * d:+.3g}" for d in p["differences"])])
    yield from table(["rival", "difference in", "mean", "interval", "which", "rounds"], lines)
    yield ""


def phase_table(experiment):
    """Medians over rounds of what the tenant's coming and leaving changed."""
    lines = []
    for strategy in strategies(experiment):
        rounds = [s["phases"] for s in of_rounds(experiment, strategy) if s["phases"]]
        if rounds:
            def shown(column, scale=1.0, digits=3, rounds=rounds):
                values = [[scale * r[place][column] for r in rounds if r[place][column] is not None] for place in range(3)]
                return " / ".join(number(statistics.median(v), digits) if v else "–" for v in values)
            lines.append([strategy, shown("power_true_w"), shown("power_average_w"), shown("active_experts"), shown("kept_mass"),
                          shown("at_floor", 100.0)])
    if lines:
        yield ("Before / while / after the tenant works, each from its fourth second on, medians over rounds. Sensor: its mean of a second, which the "
               "controller sees. At the floor: share of the ticks in which no routing is cheaper.")
        yield ""
        yield from table(["strategy", "W", "W, sensor", "D", "kept mass", "at the floor, %"], lines)
        yield ""


def conditions(experiment):
    """What ran, in words. The file's own description is of the experiment before a step changed it."""
    e = experiment["experiment"]
    yield f"{asked_rate(experiment)}, {e['duration_s']:g} s a strategy"
    trace = (e.get("trace") or {}).get("file")
    yield f"decided by the recorded router {trace}" if trace else "decided by the shipped model"
    yield f"costed as {name_of(e.get('costed_as'))}"
    if "KERNEL_AWARE_TTHA" in strategies(experiment) and "mode" in e.get("control", {}):
        yield f"KERNEL_AWARE_TTHA: {MODES[e['control']['mode']]}"
    for d in e.get("disturbances") or []:
        takes = f"{d['power_fraction']:g} of the power above idle" if "power_fraction" in d else f"{d.get('power_w', 0.0):g} W"
        yield f"another tenant of {takes} from {d['from_s']:g} s to {d['to_s']:g} s" if d["kind"] == "background" else d["kind"]
    yield "cap: " + (", ".join(f"{value:g} {UNITS[key]}" for key, value in e.get("targets", {}).items()) or "none")
    rounds, cards = experiment["rounds"], cards_of(experiment)
    count = f"{len(rounds)} round{'s' if len(rounds) > 1 else ''}"
    each = ", ".join(f"round {r['round']} on card {r['card']}" for r in rounds)
    yield f"{count}: {each}" if ", " in cards else f"{count} on card {cards}" if cards != "–" else count


def cards_of(experiment):
    return ", ".join(dict.fromkeys(r["card"] for r in experiment["rounds"] if r["card"])) or "–"


def name_of(shape):
    return shape if isinstance(shape, str) else (shape or {}).get("name", "unnamed")


def section(experiment, plot, simulated):
    yield f"## {experiment['name']}" + (" (simulated)" if simulated else "")
    yield "; ".join(conditions(experiment)) + "."
    yield ""
    if plot:
        yield f"![Power, active experts and price over time]({plot})"
        yield ""
    yield from strategy_table(experiment)
    yield from phase_table(experiment)
    yield from paired_table(experiment)


def shared_table(title, column, value, members, simulated):
    """Experiments that differ in one field alone, and what follows from it."""
    rates = {asked_rate(experiment) for experiment in members}
    capped = any(s["target"] for e in members for r in e["rounds"] for s in r["strategies"])
    yield f"## {title}{', ' + rates.copy().pop() if len(rates) == 1 else ''}" + (" (simulated)" if simulated else "")
    lines = []
    for experiment in members:
        memory = spread([r["device_memory_bytes"] for r in experiment["rounds"]], scale=2.0 ** -30, unit=" GiB")
        for strategy in strategies(experiment):
            rounds = of_rounds(experiment, strategy)
            targets = [s["target"] for s in rounds if s["target"]]
            lines.append([value(experiment["experiment"]), *([asked_rate(experiment)] if len(rates) > 1 else []), strategy,
                          spread([s["active_experts"] for s in rounds]),
                          spread([s["tokens_per_second"] for s in rounds], digits=4), spread([s["mean_power_w"] for s in rounds], digits=4),
                          *([spread([t["mean"] / t["value"] for t in targets]),
                             spread([t["violation_fraction"] for t in targets], scale=100.0, unit=" %")] if capped else []),
                          spread([s["joules_per_token"] for s in rounds]), spread([s["mean_step_ms"] for s in rounds]),
                          spread([s["bits_per_byte"] for s in rounds], digits=5), loss(rounds),
                          spread([s["last_temperature_c"] for s in rounds]), memory, cards_of(experiment)])
    yield from table([column, *(["asked"] if len(rates) > 1 else []), "strategy", "D", "tokens/s", "mean W", *(["× cap", "violation"] if capped else []),
                      "J/token", "step ms", "bits/byte", "loss", "last °C", "device memory", "card"], lines)
    yield ""


def rate(experiment):
    arrival = experiment.get("arrival", {})
    return "saturated" if arrival.get("kind") == "saturated" else f"{arrival.get('tokens_per_second', 0):.0f} tokens/s"


def asked_rate(experiment):
    """The rate and how many tokens a step had."""
    steps = [s["tokens_a_step"] for r in experiment["rounds"] for s in r["strategies"]]
    return f"{rate(experiment['experiment'])}, B = {statistics.median(steps):.0f}"


def shared_tables(result):
    kinds = (("targets", "Without a cap, from which a cap was made", "experiment", lambda e: e["name"]),
             ("control.price", "Fixed prices", "λ", lambda e: f"{e['control']['price']:g}"),
             ("expert_type", "Simple against quantised experts", "experts", lambda e: e["expert_type"]),
             ("workload", "Workloads", "workload", lambda e: e["workload"]))
    for key, title, column, value in kinds:
        for places in result["tables"][key]:
            members = [result["experiments"][place] for place in places]
            yield from shared_table(title, column, value, members, result["simulated"])


def utilisation_table(result):
    lines = [[f"{name_of(row['costed_as'])}, {row['expert_type']}, {rate({'arrival': {'kind': row['arrival'], **row}})}, B = {row['batch']}",
              number(b["active_experts"]), f"{100 * b['gpu_util']:.0f} %", f"{100 * b['mem_util']:.0f} %", number(b["power_w"]), str(b["windows"])]
             for row in result["utilisation"] for b in row["bins"]]
    if lines:
        yield "## Utilisation against active experts" + (" (simulated)" if result["simulated"] else "")
        yield ("What the sensors call SM and memory utilisation; means of windows of 5 s without the tenant, all strategies "
               "together, in bins of 8 experts.")
        yield ""
        yield from table(["load", "D", "SM", "memory", "W", "windows"], lines)
        yield ""


def prediction_tables(result):
    yield from prediction_table(result["predictions"], "What the simulation predicts",
                                "Measured / predicted by simulated runs of the same experiments, and the error of the prediction. Asked at "
                                "fixed prices: W and J/token within 5 %, step time within 10 %.")
    yield from prediction_table(result["refitted"], "What it predicts with costs calibrated on the card",
                                "The same by a simulated GPU whose expert layers cost what the calibration before the first run measured: "
                                "six D, no run that is predicted here.")


def prediction_table(rows, title, what):
    if not rows:
        return
    yield f"## {title}"
    yield what
    yield ""
    lines = []
    for row in rows:
        cells = []
        for figure in ("mean_power_w", "joules_per_token", "mean_step_ms", "active_experts", "lambda"):
            f = row["figures"].get(figure)
            missed = " **missed**" if f and f["met"] is False else ""
            cells.append("–" if f is None else f"{number(f['measured'])} / {number(f['predicted'])} ({100 * f['error']:+.1f} %){missed}")
        lines.append([row["experiment"], "–" if row["price"] is None else f"{row['price']:g}", row["strategy"], *cells])
    yield from table(["experiment", "fixed λ", "strategy", "W", "J/token", "step ms", "D", "λ"], lines)
    yield ""


def runs_table(result):
    rounds = [r for experiment in result["experiments"] for r in experiment["rounds"] if r["command"]]
    lines = list(dict.fromkeys((r["run"], r["card"] or "–", r["commit"] or "–", f"`{r['command']}`") for r in rounds))
    if lines:
        yield "## Commands" + (" (simulated)" if result["simulated"] else "")
        yield from table(["run", "card", "commit", "command"], lines)
        yield ""


def markdown(result, plots):
    yield from head(result)
    yield from asked_table(result)
    for experiment in result["experiments"]:
        if not experiment["in_table"]:
            yield from section(experiment, plots.get(experiment["name"]), result["simulated"])
    yield from shared_tables(result)
    yield from utilisation_table(result)
    yield from prediction_tables(result)
    yield from runs_table(result)
