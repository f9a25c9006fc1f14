# SPDX-License-Identifier: Apache-2.0
"""What a turn was, from its requests, its steps, the meter's readings and the plug-in's reports: plain numbers, no clock."""
import dataclasses
import math
import statistics

OVER = 1.05  # times the cap: above it a mean of a second is a violation
SETTLED = 0.05  # of the cap, about it
SETTLED_FOR_S = 5.0
GRID_S = 0.1


@dataclasses.dataclass(frozen=True)
class Window:
    """Times of time.monotonic(). The tenant works from `on` to `off`."""
    begun: float  # the strategy was asked for
    start: float  # measured from here
    end: float
    on: float
    off: float


@dataclasses.dataclass(frozen=True)
class Asked:
    power_w: float | None = None
    between_tokens_ms: float | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """A step as the plug-in reports it."""
    at: float
    tokens: int
    rows: int
    mixed: bool
    active_experts: float  # distinct ones with a token, mean over layers
    step_ms: float | None  # on the device
    number: int = 0  # of the step
    scheduled: float | None = None  # when the host was about to schedule it,
    launched: float | None = None  # had launched it,
    taken: float | None = None  # and took its tokens


def quantile(values, share):
    """The least value that so great a share does not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)] if ordered else None


def mean(values):
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def second_means(readings, window):
    """[(time, watts)]: of the second that ends then, on a grid of GRID_S from `begun` on."""
    times = [window.begun + 1.0 + GRID_S * i for i in range(int((window.end - window.begun - 1.0) / GRID_S + 1e-6) + 1)]
    found = ((at, readings.watts(at - 1.0, at)) for at in times)
    return [(at, watts) for at, watts in found if watts is not None]


def power(readings, window, cap):
    """Mean watts, and how the cap was held: with and without the tenant."""
    joules = readings.joules(window.start, window.end)
    without = [(window.start, window.on), (window.off, window.end)]
    apart = [readings.joules(*span) for span in without]
    seconds = second_means(readings, window)
    measured = [(at, watts) for at, watts in seconds if at >= window.start + 1.0]
    sensor = readings.of("power_1s_w", window.start, window.end)
    found = {
        "joules": joules,
        "mean_w": readings.watts(window.start, window.end),
        "mean_without_tenant_w": None if None in apart else sum(apart) / sum(end - start for start, end in without),
        "mean_with_tenant_w": readings.watts(window.on, window.off),
        "sensor_mean_w": mean(sensor),
        "deviation_of_seconds_w": statistics.stdev(w for _, w in measured) if len(measured) > 1 else None,
        "temperature_c": mean(readings.of("temperature_c", window.start, window.end)),
        "sm_mhz": mean(readings.of("sm_mhz", window.start, window.end)),
        "throttled": any(int(bits) & ~1 for bits in readings.of("throttle", window.start, window.end)),  # 1: idle
    }
    if cap is None:
        return found

    def share(wanted, above):
        values = [watts > above * cap for at, watts in measured if wanted(at)]
        return sum(values) / len(values) if values else None

    def works(at):  # in some of the second that ends then
        return window.on < at < window.off + 1.0

    return {**found, "cap_w": cap, "mean_over_cap": found["mean_w"] / cap if found["mean_w"] else None,
            "violations_without_tenant": share(lambda at: not works(at), OVER),
            "violations_with_tenant": share(works, OVER), "above_cap": share(lambda at: True, 1.0),
            "violations_by_sensor": sum(w > OVER * cap for w in sensor) / len(sensor) if sensor else None,
            "settling_s": settling(seconds, window.begun, window.on, cap),
            "settling_with_tenant_s": settling(seconds, window.on, window.off, cap)}


def settling(seconds, start, end, cap):
    """From `start` until the means of a second stay near the cap for SETTLED_FOR_S; None: not before `end`."""
    since = None
    for at, watts in seconds:
        if not start < at <= end:
            continue
        if abs(watts / cap - 1.0) > SETTLED:
            since = None
        elif since is None:
            since = at
        if since is not None and at - since >= SETTLED_FOR_S - 1e-6:
            return since - start
    return None


def latency(steps, window):
    """Times between tokens, ms: over decode steps, and over all."""
    measured = [step for step in steps if window.start < step.at <= window.end]
    decode = [1e3 * gap for step in measured if not step.mixed for gap in step.gaps]
    everything = [1e3 * gap for step in measured for gap in step.gaps]
    alone = [1e3 * gap for step in measured if not step.mixed and not window.on < step.at <= window.off for gap in step.gaps]
    return {"decode_p50_ms": quantile(decode, 0.5), "decode_p99_ms": quantile(decode, 0.99),
            "decode_p99_without_tenant_ms": quantile(alone, 0.99), "decode_mean_ms": mean(decode),
            "p50_ms": quantile(everything, 0.5), "p99_ms": quantile(everything, 0.99), "mean_ms": mean(everything),
            "steps": len(measured), "mixed_steps": sum(step.mixed for step in measured),
            "tokens": sum(step.tokens for step in measured),
            "batch": mean([step.tokens for step in measured if not step.mixed])}


def requests(all_requests, window, between_tokens_ms):
    """Of those that came within the window; goodput: of those that finished within it, in time."""
    came = [r for r in all_requests if window.start <= r.due < window.end]
    first = [1e3 * (r.first - r.due) for r in came if r.first is not None]
    done = [r for r in all_requests if r.finished and window.start < r.last <= window.end]
    limit = between_tokens_ms
    in_time = [r for r in done if limit is None or (r.between_tokens() or 0.0) * 1e3 <= limit]
    seconds = window.end - window.start
    return {"asked": len(came), "finished": sum(r.finished for r in came), "done_in_window": len(done),
            "first_token_p50_ms": quantile(first, 0.5), "first_token_p99_ms": quantile(first, 0.99),
            "goodput_requests_per_s": len(in_time) / seconds, "done_requests_per_s": len(done) / seconds}


def experts(reports, window):
    """D, distinct experts a layer, of decode steps and of those that read prompts; None where nothing reports them."""
    measured = [report for report in reports if window.start < report.at <= window.end]
    decode = [report for report in measured if not report.mixed]
    mixed = [report for report in measured if report.mixed]

    def of(rows, name):
        return mean([getattr(row, name) for row in rows])
    return {"active_experts": of(decode, "active_experts"), "active_experts_mixed": of(mixed, "active_experts"),
            "step_ms": of(decode, "step_ms"), "step_ms_mixed": of(mixed, "step_ms"), "reported_steps": len(measured)}


def host(reports, window, limit_ms):
    """Of decode steps that follow decode steps, ms: from one's schedule to the next one's, from schedule to launched, on the
    device (from its orders' copy, so that a launch which it waits for counts), from launched to taken; and by how much each
    is above its median in steps whose tokens came later than the limit after those before. None where nothing timed them."""
    timed = {r.number: r for r in reports if None not in (r.scheduled, r.launched, r.taken)}
    rows = []
    for number, step in timed.items():
        before = timed.get(number - 1)
        if window.start < step.at <= window.end and before and not before.mixed and not step.mixed:
            rows.append({"period": step.scheduled - before.scheduled, "launch": step.launched - step.scheduled,
                         "device": (step.step_ms or 0.0) / 1e3, "take": step.taken - step.launched, "gap": step.taken - before.taken})
    if not rows:
        return None
    ms = {name: [1e3 * row[name] for row in rows] for name in rows[0]}
    middle = {name: quantile(values, 0.5) for name, values in ms.items()}
    late = [i for i, gap in enumerate(ms["gap"]) if limit_ms is not None and gap > limit_ms]
    return {**{f"{name}_p50_ms": middle[name] for name in ms}, **{f"{name}_p99_ms": quantile(ms[name], 0.99) for name in ms},
            "steps": len(rows), "late": len(late),
            "late_by_ms": {name: mean([ms[name][i] - middle[name] for i in late]) for name in ms}}


def turn(all_requests, steps, readings, reports, window, asked):
    """Everything that is kept of a turn, but for what the caller knows of it."""
    seconds = window.end - window.start
    drawn, tokens = power(readings, window, asked.power_w), latency(steps, window)
    served = requests(all_requests, window, asked.between_tokens_ms)

    def joules_each(count):
        return drawn["joules"] / count if drawn["joules"] is not None and count else None
    return {
        "seconds": seconds, "tenant_s": [window.on - window.start, window.off - window.start],
        "asked": dataclasses.asdict(asked), "power": drawn, "between_tokens": tokens, "requests": served,
        "experts": experts(reports, window), "host": host(reports, window, asked.between_tokens_ms), "tokens_per_s": tokens["tokens"] / seconds,
        "joules_per_token": joules_each(tokens["tokens"]), "joules_per_request": joules_each(served["done_in_window"]),
        "series": series(readings, steps, reports, window),
    }


def series(readings, steps, reports, window):
    """For plots: watts, tokens a decode step, D, ms between tokens of each second from `begun` on; time 0 is the window's start."""
    rows = []
    for i in range(int(window.end - window.begun + 1e-6)):
        start, end = window.begun + i, window.begun + i + 1
        here = [s for s in steps if start < s.at <= end and not s.mixed]
        told = [r.active_experts for r in reports if start < r.at <= end and not r.mixed]
        gaps = [1e3 * gap for s in here for gap in s.gaps]
        rows.append([round(end - window.start, 3), *(value if value is None else round(value, 3) for value in (
            readings.watts(start, end), mean([s.tokens for s in here]), mean(told), mean(gaps)))])
    return {"columns": ["time_s", "watts", "batch", "active_experts", "between_tokens_ms"], "rows": rows}
