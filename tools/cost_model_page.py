# SPDX-License-Identifier: Apache-2.0
"""The Markdown page of a measured cost model, from what tools/cost_model_results.py found."""
from result_page import figure, table

WORST = 10


def percent(value, signed=False):
    return "–" if value is None else f"{100 * value:{'+' if signed else ''}.2f} %"


def spread(words, unit, values):
    return "" if values is None else f", {words} {values['least']:.0f} to {values['most']:.0f} {unit} (median {values['median']:.0f})"


def head(result):
    count, model = result["records"], result["cost_model"]
    yield f"# A measured cost model: {result['device']}"
    yield ""
    card = f", card {result['card']} (a hash)" if result["card"] else ""
    commits = f", commit {', '.join(result['commits'])}" if result["commits"] else ""
    yield (f"{result['backend']} backend{', driver ' + result['driver'] if result['driver'] else ''}{card}{commits}"
           f"{spread('SM', 'MHz', result['sm_mhz'])}{spread('memory', 'MHz', result['memory_mhz'])}"
           f"{spread('die', '°C', result['temperature_c'])}. Made by tools/cost_model_results.py of what `thermoe profile` measured "
           "(docs/profile.md has the method).")
    yield ""
    source = {"cupti": "CUPTI", "timed": "CUDA events, launches included" if result["backend"] == "cuda" else "the host's clock"}
    yield (f"{count['time']} points timed by {' and '.join(source.get(s, s) for s in result['sources'])}, {count['repeat']} of them again, "
           f"the energy of {count['energy']} measured. Held out of all tables and fits: "
           f"{' and '.join(held_out_words(result['held_out'])) or 'nothing'}.")
    yield ""
    if model is None:
        yield ("**No energy was measured**, so that there is no cost model; times are interpolated by the same program between the "
               "records that are not held out.")
    else:
        kept = f"`{result['costs']}`: " if result["costs"] else "The cost model (not kept): "
        yield (f"{kept}{model['rows']} rows, {model['expert_rows']} of them expert layers ({', '.join(model['models']) or 'of no known model'}); "
               f"{model['energies_measured']} energies measured, {model['energies_fitted']} fitted, "
               f"{model['rows'] - model['energies_measured'] - model['energies_fitted']} absent. Idle between windows "
               f"{model['idle_active_w']:.1f} W (median; the least {model['idle_cold_w']:.1f} W). {thermal_words(model['thermal'])} {perturbation_words(model)}")
    yield ""


def held_out_words(slices):
    for name, words in (("tokens", "batches of {} tokens"), ("active", "layers with {} active experts")):
        if slices[name]:
            yield words.format(" or ".join(map(str, slices[name])))


def thermal_words(thermal):
    if not thermal:
        return "No step response of the temperature was fitted."
    return (f"Step response: {thermal['ambient_c']:.1f} °C + {thermal['resistance_k_per_w']:.4f} K/W in "
            f"{thermal['time_constant_s']:.1f} s.")


def perturbation_words(model):
    state, sensors = model["perturbation"], model["sensors"]
    heat, limit = state.get("thermal"), state.get("power")
    period = f", new each {1000 * sensors['period_s']:.0f} ms" if sensors and "period_s" in sensors else ""
    return " ".join((
        f"Energy {100 * heat['energy_per_c']:+.2f} % a degree above {heat['reference_c']:.0f} °C." if heat else
        "How energy grows with the temperature was not fitted.",
        f"Latency +{limit['slope']:.2g} % for each % of power beyond {100 * limit['knee']:g} % of {limit['limit_w']:.0f} W." if limit else
        "What the power limit costs was not fitted.",
        f"Power sensor: {1000 * sensors['delay_s']:.0f} ms late, mean of {1000 * sensors['window_s']:.0f} ms{period}." if sensors else
        "How the power sensor lags was not fitted."))


def asked_table(result):
    yield "## What was asked"
    lines = []
    for target in result["targets"]:
        limit = f"≤ {100 * target['most']:g} %" if "most" in target else f"≥ {100 * target['least']:g} %"
        verdict = "not measured" if target["met"] is None else "met" if target["met"] else "**missed**"
        lines.append([target["asked"], limit, percent(target["value"]), str(target["points"]), verdict])
    yield from table(["asked", "target", "found", "points", ""], lines)
    yield ""


def size_words(size):
    return ["–", "–", "–", "0"] if size is None else [percent(size[key]) for key in ("median", "p95", "largest")] + [str(size["points"])]


SIZES = ["latency: median", "p95", "largest", "points", "energy: median", "p95", "largest", "points"]


def slice_table(result):
    if not result["slices"]:
        return
    yield "## Interpolation of expert layers, by what was held out"
    yield from table(["held out", *SIZES], [[s["slice"], *size_words(s["latency"]), *size_words(s["energy"])] for s in result["slices"]])
    yield ""


def summary_table(result, basis, title):
    lines = [[f"{s['op']} {s['shape']}", s["dtype"], *size_words(s["latency"]), *size_words(s["energy"])]
             for s in result["summary"] if s["basis"] == basis]
    if not lines:
        return
    yield f"## {title}"
    yield from table(["op", "dtype", *SIZES], lines)
    yield ""


def worst_table(result):
    points = [p for p in result["points"] if p["basis"] == "interpolated"]
    if not points:
        return
    yield f"## The {min(WORST, len(points))} largest errors of interpolation"
    for quantity, unit, scale in (("latency", "µs", 1.0), ("energy", "mJ", 1000.0)):
        name = {"latency": "us", "energy": "uj"}[quantity]
        known = [p for p in points if p[f"{quantity}_error"] is not None]
        if not known:
            yield ""
            yield f"No {quantity} was measured at these points."
            continue
        worst = sorted(known, key=lambda p: -abs(p[f"{quantity}_error"]))[:WORST]
        yield ""
        yield from table([f"{quantity} of", f"measured, {unit}", "predicted", "error"], [
            [p["point"], figure(p[f"{quantity}_{name}"] / scale), figure(p[f"predicted_{name}"] / scale),
             percent(p[f"{quantity}_error"], signed=True)] for p in worst])
    yield ""


def repeat_table(result):
    if not result["repeats"]:
        return
    yield "## Points that were timed again"
    yield "Change of the median, against the first's spread, (p90 − p10) / (2 · median)."
    yield ""
    yield from table(["point", "spread", "change", ""], [
        [r["point"], percent(r["spread"]), percent(r["change"], signed=True), "within" if r["within"] else "**beyond**"]
        for r in sorted(result["repeats"], key=lambda r: r["spread"] - abs(r["change"]))])
    yield ""


def method_list(result):
    if result["cost_model"] is None:
        return
    yield "## How each table came to be"
    yield from (f"- {name}: {method}" for name, method in result["cost_model"]["methods"].items())
    yield ""


def markdown(result, plots):
    yield from head(result)
    yield from asked_table(result)
    yield ("Errors are |predicted / measured − 1|; predicted is what `thermoe cost at` says. Energies are above idle, compared where a "
           "held-out point had a window of its own; the tables between are measured at anchors and fitted elsewhere."
           + (f" {result['without_table']} held-out points have no table." if result["without_table"] else ""))
    yield ""
    yield from summary_table(result, "interpolated", "Interpolation")
    yield from slice_table(result)
    yield from summary_table(result, "extrapolated", "Extrapolation")
    for plot in plots:
        yield f"![{'errors at held-out points' if plot.endswith('-errors.svg') else 'tables and held-out points'}]({plot})"
        yield ""
    yield from worst_table(result)
    yield from repeat_table(result)
    yield from method_list(result)
