# SPDX-License-Identifier: Apache-2.0
"""Reads what `thermoe run` leaves (docs/experiments.md) for tools that compare runs: every turn of a strategy with its figures.

A file that is absent, torn or not what it should be raises BadInput, which names file and key.
"""
import csv
import hashlib
import json
import pathlib
import re
import statistics
import typing

# Of the experiment, what may differ between rounds that are measured apart: where a round stands, and what a
# calibration before it found out about the card.
FREE = {"round", "rounds", "seed", "strategies", "description"}
CALIBRATED = {"cost_model", "gpu.calibrate", "control.sensor_delay_s", "control.sensor_window_s"}
HARDWARE = {"machine", "gpu", "plant"}
TICK_COLUMNS = ("time_s", "simulated", "power_true_w", "power_true_1s_w", "temperature_true_c", "temperature_c", "gpu_util",
                "mem_util", "sm_clock_mhz", "background_power_w", "steps", "step_time_ms", "active_experts", "lambda", "violation",
                "power_average_w", "tokens", "kept_mass", "at_floor")
SETTLED_S = 3.0  # after a start, a tenant's coming or its leaving


class BadInput(Exception):
    """What a run folder holds is not what is needed."""


class Turn(typing.NamedTuple):
    """A strategy's turn on the machine."""
    strategy: str
    round: int
    summary: dict
    details: dict
    ticks: dict          # {column: [value or None]}


class Run(typing.NamedTuple):
    """A run folder."""
    folder: typing.Any
    experiment: dict
    simulated: bool
    machine: dict        # device, driver, card, commit, command, device_memory_bytes; None where nobody said
    turns: list[Turn]


def read_json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}; a run that was interrupted has no summary.json") from error
    except ValueError as error:
        raise BadInput(f"{path}: is no JSON: {error}") from error


def write_json(path, content):
    """Whole or not at all: what was cut off is not there."""
    path.with_suffix(".part").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    path.with_suffix(".part").replace(path)


def member(value, path, key, kind):
    """What stands at a key such as /strategies/0/name."""
    for part in key.strip("/").split("/"):
        try:
            value = value[int(part)] if isinstance(value, list) else value[part]
        except (KeyError, IndexError, TypeError, ValueError):
            raise BadInput(f"{path}: {key} is missing") from None
    if not isinstance(value, kind) or isinstance(value, bool) and kind is not bool:
        raise BadInput(f"{path}: {key} is {json.dumps(value)}, not {'a number' if kind == (int, float) else kind.__name__}")
    return value


def read_run(folder):
    config_path, summary_path, details_path = (folder / f"{name}.json" for name in ("config", "summary", "details"))
    config, summary, details = (read_json(path) for path in (config_path, summary_path, details_path))
    experiment = member(config, config_path, "/experiment", dict)
    if pathlib.PurePath(experiment.get("cost_model", "")).is_absolute():  # where it lay there says nothing here
        experiment["cost_model"] = "/".join(pathlib.PurePath(experiment["cost_model"]).parts[-2:])
    simulated = member(config, config_path, "/simulated", bool)
    if member(summary, summary_path, "/simulated", bool) != simulated:
        raise BadInput(f"{summary_path}: /simulated is not what {config_path} says")
    ticks = read_ticks(folder / "metrics.csv", simulated)
    details_of = {member(details, details_path, f"/strategies/{i}/name", str): entry
                  for i, entry in enumerate(member(details, details_path, "/strategies", list))}
    turns = []
    for i, entry in enumerate(member(summary, summary_path, "/strategies", list)):
        name = member(summary, summary_path, f"/strategies/{i}/name", str)
        for key in ("mean_power_w", "joules_per_token", "tokens_per_second", "mean_active_experts", "p50_step_ms", "p99_step_ms",
                    "max_temperature_c", "gpu_util", "mem_util"):
            member(summary, summary_path, f"/strategies/{i}/{key}", (int, float))
        if name not in details_of:
            raise BadInput(f"{details_path}: /strategies has no {name}, which {summary_path} has")
        if name not in ticks:
            raise BadInput(f"{folder / 'metrics.csv'}: no row of {name}, which {summary_path} has")
        member(details_of[name], details_path, "/targets", list)
        strategy, _, turn = name.partition(" #")
        turns.append(Turn(strategy, int(turn) if re.fullmatch(r"\d+", turn) else 1, entry, details_of[name], ticks[name]))
    if not turns:
        raise BadInput(f"{summary_path}: /strategies is empty")
    return Run(folder, experiment, simulated, machine_of(folder, config, summary, summary_path), turns)


def machine_of(folder, config, summary, summary_path):
    """What the run says of its machine, and what tools/measure_on_gpu wrote beside it."""
    said = config.get("machine", {})
    uuid = said.get("uuid")
    beside = read_json(folder / "measured.json") if (folder / "measured.json").exists() else {}
    return {"device": member(summary, summary_path, "/device", str),
            "driver": said.get("driver") or beside.get("driver"),
            "card": card_id(uuid) if uuid else beside.get("card"),
            "device_memory_bytes": said.get("device_memory_bytes"),
            "commit": beside.get("commit"), "command": beside.get("command")}


def card_id(uuid):
    """Tells cards apart without publishing their ids."""
    return hashlib.sha256(uuid.encode()).hexdigest()[:8]


def read_ticks(path, simulated):
    """{turn: {column: values}}"""
    found = {}
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file)
            absent = [column for column in ("strategy", *TICK_COLUMNS) if column not in (rows.fieldnames or ())]
            if absent:
                raise BadInput(f"{path}: column {absent[0]} is missing")
            for row in rows:
                ticks = found.setdefault(row["strategy"], {column: [] for column in TICK_COLUMNS})
                for column in TICK_COLUMNS:
                    ticks[column].append(number(row[column], path, rows.line_num, column))
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from error
    for turn, ticks in found.items():
        if any(bool(value) != simulated for value in ticks["simulated"]):
            raise BadInput(f"{path}: simulated of {turn} is not what config.json says")
    return found


def number(text, path, line, column):
    if text in ("", None):
        return None
    try:
        return float(text)
    except ValueError:
        raise BadInput(f"{path}:{line}: {column} is {text!r}, not a number") from None


# --- Figures of a turn

def mean(values):
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def select(ticks, column, wanted):
    """Values of a column in the ticks whose time, the end of a tick, is wanted."""
    return [value for value, time in zip(ticks[column], ticks["time_s"]) if wanted(time) and value is not None]


def temperatures(ticks):
    """The column that knows: a real GPU's is what its sensor said."""
    return "temperature_true_c" if mean(ticks["temperature_true_c"]) is not None else "temperature_c"


def weighted_quantile(values, weights, share):
    pairs = sorted((value, weight) for value, weight in zip(values, weights) if value is not None and weight)
    left = share * sum(weight for _, weight in pairs)
    for value, weight in pairs:
        left -= weight
        if left <= 1e-9:
            return value
    return None


def means_of_seconds(values, times):
    """Of every tick the mean of the second that it ends."""
    return [mean([value for value, at in zip(values, times) if end - 1.0 + 1e-6 < at <= end]) for end in times]


def figures(turn):
    """What the tables show of a turn; None where it is not known."""
    summary, ticks = turn.summary, turn.ticks
    end = ticks["time_s"][-1]
    held = temperatures(ticks)
    with_tenant = [violated for violated, power in zip(ticks["violation"], ticks["background_power_w"]) if power]
    after_start = [weight if time > SETTLED_S else 0.0 for weight, time in zip(ticks["steps"], ticks["time_s"])]
    targets = turn.details["targets"]
    first = targets[0] if targets else {}
    return {
        "strategy": turn.strategy,
        **{key: summary[key] for key in ("mean_power_w", "tokens_per_second", "joules_per_token", "p50_step_ms", "p99_step_ms",
                                         "max_temperature_c", "gpu_util", "mem_util")},
        "active_experts": summary["mean_active_experts"],
        **{key: summary.get(key) for key in ("kept_mass", "quality_loss_nats", "bits_per_byte", "quality_loss_percent",
                                             "quality_loss_interval_percent", "fallbacks")},
        **{key: turn.details.get(key) for key in ("late_share", "repeated_share")},
        "tokens_a_step": sum(filter(None, ticks["tokens"])) / (sum(filter(None, ticks["steps"])) or 1.0),
        "mean_step_ms": weighted_mean(ticks["step_time_ms"], ticks["steps"]),
        "lambda": mean(ticks["lambda"]),
        "last_temperature_c": mean(select(ticks, held, lambda time: time > end - 60.0)),
        "highest_last_temperature_c": max(select(ticks, held, lambda time: time > end - 60.0), default=None),
        "p95_step_ms_after_start": weighted_quantile(ticks["step_time_ms"], after_start, 0.95),
        "p95_step_ms_1s_after_start": weighted_quantile(means_of_seconds(ticks["step_time_ms"], ticks["time_s"]), after_start, 0.95),
        "violation_with_tenant": mean(with_tenant) if with_tenant and targets else None,
        "target": {key: first.get(key) for key in ("target", "value", "mean", "violation_fraction", "over_target_fraction",
                                                   "settling_time_s", "highest_1s_mean")} if targets else None,
        "phases": phases(ticks),
    }


def phases(ticks):
    """Before, while and after the other tenant works, each from SETTLED_S on: {column: mean} of what is drawn and what is routed."""
    works = [time for time, power in zip(ticks["time_s"], ticks["background_power_w"]) if power]
    if not works:
        return None
    ends = (0.0, works[0], works[-1], ticks["time_s"][-1])
    return [{column: mean(select(ticks, column, lambda time, begin=begin, end=end: begin + SETTLED_S < time <= end))
             for column in ("power_true_w", "power_average_w", "active_experts", "kept_mass", "at_floor")}
            for begin, end in zip(ends, ends[1:])]


def weighted_mean(values, weights):
    pairs = [(value, weight) for value, weight in zip(values, weights) if value is not None and weight]
    return sum(v * w for v, w in pairs) / sum(w for _, w in pairs) if pairs else None


# --- Whether runs belong together

def flat(experiment):
    """{"targets.power_w": 350, ...}; a list is a value."""
    found = {}
    for key, value in experiment.items():
        if isinstance(value, dict):
            found.update({f"{key}.{inner}": v for inner, v in flat(value).items()} or {key: {}})
        else:
            found[key] = value
    return found


def comparable(experiment, also_free=()):
    """What must be the same for two runs to be rounds of one experiment."""
    free = FREE | CALIBRATED | set(also_free)
    # What a real tenant takes of the bandwidth nobody sets; a simulated one's twin has it.
    tenants = [{key: value for key, value in d.items() if key != "bandwidth_share" or "power_fraction" not in d}
               for d in experiment.get("disturbances") or []]
    experiment = {**experiment, "disturbances": tenants}
    return {key: value for key, value in flat(experiment).items() if key not in free and key.split(".")[0] not in free}


def refuse_difference(one, other, also_free=()):
    a, b = comparable(one.experiment, also_free), comparable(other.experiment, also_free)
    for key in sorted(a.keys() | b.keys()):
        if a.get(key) != b.get(key):
            where = "/experiment/" + key.replace(".", "/")
            raise BadInput(f"{other.folder / 'config.json'}: {where} is {json.dumps(b.get(key))}, but {json.dumps(a.get(key))} in "
                           f"{one.folder / 'config.json'}; these are different experiments: give one of them another name")
