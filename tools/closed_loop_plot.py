# SPDX-License-Identifier: Apache-2.0
"""Draws a round of a closed-loop run as SVG: power, active experts and price over time, a line a strategy."""
import html

from svg_panels import LEFT, TOP, Panel, document

# Strategies as the report colours them, each between its light and its dark tone.
COLOURS = {"BASELINE": "#7d848c", "STATIC_OPTIMAL": "#d08400", "KERNEL_AWARE_TTHA": "#2b8fd0", "REDUCED_K": "#c964a0",
           "OPPORTUNISTIC": "#12a27a", "PACING_ALONE": "#8a6fd1", "round 1": "#2b8fd0", "round 2": "#d08400", "round 3": "#12a27a"}
OURS = "KERNEL_AWARE_TTHA"  # drawn last and broadest
OTHER = "#9a7b5a"
STEP_S, WINDOW_S = 0.5, 1.0
LEAST_PRICE = 1e-5  # as good as none: less would be most of a logarithmic axis


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


class StrategyPanel(Panel):
    def shade(self, spans):
        for begin, end in spans:
            yield (f'<rect class="shade" x="{self.x(begin):.1f}" y="{self.top}" width="{self.x(end) - self.x(begin):.1f}" '
                   f'height="{self.height}"/>')

    def draw(self):
        for strategy, points in sorted(self.lines.items(), key=lambda line: line[0] == OURS):
            places, before = [], None
            for t, v in points:  # a line ends where values are absent
                places.append(f"{'M' if before is None or t > before + 3 * STEP_S else 'L'}{self.x(t):.1f} {self.y(v):.1f}")
                before = t
            yield f'<path class="line{" ours" if strategy == OURS else ""}" stroke="{COLOURS.get(strategy, OTHER)}" d="{"".join(places)}"/>'


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
                  (None, "price λ", lines("lambda", above=LEAST_PRICE), 90, True)]
    body, top = [], TOP + 22
    for key, label, drawn, height, log in quantities:
        if not drawn or still(drawn) or key in ("temperature_c", "step_ms") and key not in targets:
            continue
        cap = targets.get(key) if key else None
        panel = StrategyPanel(label, drawn, height, top, end, log, () if cap is None else (cap,))
        body += [*panel.shade(spans_of(next(iter(turns.values())))), *panel.axis(), *panel.draw()]
        if cap is not None:
            body.append(panel.cap(cap))
        top += height + 18
    return document(title, top + 10, [*legend(turns, targets), *body, *panel.scale_below(" s")])


def still(lines):
    """Whether nothing moves: such a panel says nothing."""
    return len({value for points in lines.values() for _, value in points}) == 1


def legend(turns, targets):
    entries = [(name, f'class="line" stroke="{COLOURS.get(name, OTHER)}"') for name in turns]
    entries += [("target", 'class="cap"')] if targets else []
    at = LEFT
    for name, style in entries:
        yield f'<path {style} d="M{at:.0f} 30h16"/><text x="{at + 21:.0f}" y="34">{html.escape(name)}</text>'
        at += 38 + 7.4 * len(name)
    if any(spans_of(ticks) for ticks in turns.values()):
        yield f'<rect class="shade" x="{at:.0f}" y="23" width="16" height="13"/><text x="{at + 21:.0f}" y="34">tenant</text>'
