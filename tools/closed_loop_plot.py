# SPDX-License-Identifier: Apache-2.0
"""Draws a round of a closed-loop run as SVG: power, active experts and price over time, a line a strategy.

Colours are legible on white and on black; there is no background and no script.
"""
import html
import math

# Strategies as the report colours them, each between its light and its dark tone.
COLOURS = {"BASELINE": "#7d848c", "STATIC_OPTIMAL": "#d08400", "KERNEL_AWARE_TTHA": "#2b8fd0", "REDUCED_K": "#c964a0",
           "OPPORTUNISTIC": "#12a27a"}
OURS = "KERNEL_AWARE_TTHA"  # drawn last and broadest
OTHER, INK, TARGET = "#9a7b5a", "#7b838c", "#d5453b"
WIDTH, LEFT, RIGHT, TOP = 860, 62, 12, 30
STEP_S, WINDOW_S = 0.5, 1.0


def running_mean(times, values):
    """[(time, mean of the last second)] every half second; without what is absent."""
    points, window, at = [], [], 0.0
    for time, value in zip(times, values):
        if value is not None:
            window.append((time, value))
        window = [(t, v) for t, v in window if t > time - WINDOW_S + 1e-9]
        if time >= at - 1e-9 and window:
            points.append((time, sum(v for _, v in window) / len(window)))
            at = time + STEP_S
    return points


def ticks_of(low, high, most=5):
    """Round numbers between low and high."""
    raw = (high - low) / most
    unit = 10 ** math.floor(math.log10(raw))
    step = next(unit * m for m in (1, 2, 5, 10) if unit * m >= raw)
    at = math.ceil(low / step - 1e-9) * step
    while at <= high + 1e-9 * step:
        yield round(at, 10)
        at += step


def logarithmic(low, high):
    """1, 2, 5, 10, … or, where these are many, 1, 10, 100, …"""
    exponents = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    fine = [m * 10.0 ** e for e in exponents for m in (1, 2, 5) if low <= m * 10.0 ** e <= high]
    return fine if len(fine) <= 4 else [10.0 ** e for e in exponents if low <= 10.0 ** e <= high]


class Panel:
    """A plot of one quantity; lines are [(time, value)]."""

    def __init__(self, label, lines, height, top, end, log=False, include=()):
        self.label, self.lines, self.log, self.end = label, lines, log, end
        self.top, self.height = top, height
        values = [value for points in lines.values() for _, value in points] + list(include)
        low, high = min(values), max(values)
        pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        self.low, self.high = (low / 1.2, high * 1.2) if log else (low - pad, high + pad)

    def x(self, time):
        return LEFT + (WIDTH - LEFT - RIGHT) * time / self.end

    def y(self, value):
        place = (math.log(value / self.low) / math.log(self.high / self.low) if self.log
                 else (value - self.low) / (self.high - self.low))
        return self.top + self.height * (1 - place)

    def axis(self):
        marks = logarithmic(self.low, self.high) if self.log else list(ticks_of(self.low, self.high, self.height / 32))
        for value in marks:
            y = self.y(value)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            words = f"{value:g}"
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
        yield (f'<text transform="translate(13 {self.top + self.height / 2:.0f}) rotate(-90)" text-anchor="middle">'
               f"{html.escape(self.label)}</text>")

    def shade(self, spans):
        for begin, end in spans:
            yield (f'<rect class="shade" x="{self.x(begin):.1f}" y="{self.top}" width="{self.x(end) - self.x(begin):.1f}" '
                   f'height="{self.height}"/>')

    def draw(self):
        for strategy, points in sorted(self.lines.items(), key=lambda line: line[0] == OURS):
            path = "L".join(f"{self.x(t):.1f} {self.y(v):.1f}" for t, v in points)
            yield f'<path class="line{" ours" if strategy == OURS else ""}" stroke="{COLOURS.get(strategy, OTHER)}" d="M{path}"/>'


def spans_of(ticks):
    """When the other tenant worked."""
    spans, before = [], 0.0
    for time, power in zip(ticks["time_s"], ticks["background_power_w"]):
        if power:
            if spans and abs(spans[-1][1] - before) < 1e-9:
                spans[-1][1] = time
            else:
                spans.append([before, time])
        before = time
    return spans


def svg(title, turns, targets, simulated):
    """`turns`: {strategy: ticks}; `targets`: the experiment's. The page as text."""
    end = max(ticks["time_s"][-1] for ticks in turns.values())

    def lines(column, above=None):
        drawn = {s: [p for p in running_mean(ticks["time_s"], ticks[column]) if above is None or p[1] > above]
                 for s, ticks in turns.items()}
        return {s: points for s, points in drawn.items() if points}

    made = "simulated " if simulated else ""
    quantities = [("power_w", f"{made}power, W", lines("power_true_1s_w"), 230, False),
                  ("temperature_c", f"{made}temperature, °C", lines("temperature_c"), 150, False),
                  ("step_ms", f"{made}step, ms", lines("step_time_ms"), 150, False),
                  (None, "active experts", lines("active_experts"), 120, False),
                  (None, "price λ", lines("lambda", above=0.0), 90, True)]
    body, top = [], TOP + 22
    for key, label, drawn, height, log in quantities:
        if not drawn or key in ("temperature_c", "step_ms") and key not in targets:
            continue
        cap = targets.get(key) if key else None
        panel = Panel(label, drawn, height, top, end, log, () if cap is None else (cap,))
        body += [*panel.shade(spans_of(next(iter(turns.values())))), *panel.axis(), *panel.draw()]
        if cap is not None:
            body.append(f'<path class="cap" d="M{LEFT} {panel.y(cap):.1f}H{WIDTH - RIGHT}"/>')
        top += height + 18
    seconds = [f'<text x="{panel.x(t):.1f}" y="{top:.0f}" text-anchor="middle">{t:g}{" s" if t == 0 else ""}</text>'
               for t in ticks_of(0.0, end, 8)]
    height = top + 10
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
        f"<title>{html.escape(title)}</title>",
        "<style>"
        f"text{{font:12px sans-serif;fill:{INK}}}.grid{{stroke:{INK};stroke-opacity:.25}}.shade{{fill:#b39b30;fill-opacity:.18}}"
        f".line{{fill:none;stroke-width:1.6;stroke-linejoin:round}}.ours{{stroke-width:2.4}}"
        f".cap{{stroke:{TARGET};stroke-dasharray:5 4;stroke-width:1.4}}</style>",
        f'<text x="{LEFT}" y="14" style="font-weight:bold">{html.escape(title)}</text>',
        *legend(turns, targets), *body, *seconds, "</svg>", ""])


def legend(turns, targets):
    entries = [(name, f'class="line" stroke="{COLOURS.get(name, OTHER)}"') for name in turns]
    entries += [("target", 'class="cap"')] if targets else []
    at = LEFT
    for name, style in entries:
        yield f'<path {style} d="M{at:.0f} 30h16"/><text x="{at + 21:.0f}" y="34">{html.escape(name)}</text>'
        at += 38 + 7.4 * len(name)
    if any(spans_of(ticks) for ticks in turns.values()):
        yield f'<rect class="shade" x="{at:.0f}" y="23" width="16" height="13"/><text x="{at + 21:.0f}" y="34">tenant</text>'
