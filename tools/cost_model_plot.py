# SPDX-License-Identifier: Apache-2.0
"""Draws a measured cost model as SVG: tables over active experts with the held-out points on them, and errors at those."""
import html

from svg_panels import INK, LEFT, RIGHT, TOP, WIDTH, Panel, document

DTYPES = {"bf16": "#2b8fd0", "int4": "#d08400", "f32": "#12a27a"}
HEIGHT, BETWEEN = 190, 22


def hue(place):
    """From blue for the first to red for the last."""
    return f"hsl({215 - 215 * place:.0f},60%,50%)"


class Curves(Panel):
    """Lines and dots over active experts: `curves` {label: [(x, y)]}, `dots` [(x, y, colour)], `caps` [y]."""

    def __init__(self, label, curves, colours, dots, top, end, log=False, caps=()):
        super().__init__(label, curves, HEIGHT, top, end, log, [*(y for _, y, _ in dots), *caps])
        self.colours, self.dots, self.caps = colours, dots, caps

    def draw(self):
        yield from map(self.cap, self.caps)
        for label, points in self.lines.items():
            path = "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)
            yield f'<path class="line" stroke="{self.colours[label]}" d="M{path}"/>'
        for x, y, colour in self.dots:
            yield dot(self.x(x), self.y(y), colour)


def dot(x, y, colour):
    return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.2" fill="{colour}" stroke="{INK}" stroke-width=".6"/>'


def page(title, legend, panels, axis):
    """The SVG's text; legend: [(words, colour, "line" or "dot")]."""
    body, at, row = [], LEFT, 30
    for words, colour, mark in legend:
        wide = 30 + 6.6 * len(words)
        if at + wide > WIDTH:
            at, row = LEFT, row + 16
        body.append(f'<path class="line" stroke="{colour}" d="M{at:.0f} {row}h16"/>' if mark == "line" else
                    dot(at + 8, row, colour))
        body.append(f'<text x="{at + 20:.0f}" y="{row + 4}">{html.escape(words)}</text>')
        at += wide
    for panel in panels:
        panel.top += row - 30
        body += [*panel.axis(), *panel.draw()]
    bottom = panels[-1].bottom()
    body += panels[-1].scale_below()
    body.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{bottom + 36:.0f}" text-anchor="middle">{html.escape(axis)}</text>')
    return document(title, bottom + 44, body)


def table_plot(device, shape, rows, points):
    """A shape's expert layers: what the tables hold as lines, a line a token count, what was measured and held out as dots."""
    def of_shape(all_):
        return [p for p in all_ if p["op"].startswith("moe_experts") and tuple(p["shape"]) == tuple(shape)]

    mine, held_out = of_shape(rows), of_shape(points)
    tokens = sorted({p["tokens"] for p in (*mine, *held_out)})
    colours = {t: hue(i / max(len(tokens) - 1, 1)) for i, t in enumerate(tokens)}
    end = max(p["active"] for p in (*mine, *held_out))
    panels, top = [], TOP + 22
    for dtype in dict.fromkeys(p["dtype"] for p in mine):
        for quantity, words, unit in (("latency_us", "µs", 1.0), ("energy_uj", "mJ", 1000.0)):
            curves = {}
            for p in sorted((p for p in mine if p["dtype"] == dtype), key=lambda p: p["active"]):
                if p[quantity]:
                    curves.setdefault(p["tokens"], []).append((p["active"], p[quantity] / unit))
            if not curves:
                continue
            dots = [(p["active"], p[quantity] / unit, colours[p["tokens"]]) for p in held_out if p["dtype"] == dtype and p[quantity]]
            panels.append(Curves(f"{dtype}: {words} a layer", dict(sorted(curves.items())), colours, dots, top, end, log=True))
            top += HEIGHT + BETWEEN
    lined = {p["tokens"] for p in mine}
    legend = [(f"{t:g} token{'s' if t != 1 else ''}", colours[t], "line" if t in lined else "dot") for t in tokens]
    return page(f"{device}: expert layer {list(shape)}, dots: measured and held out", legend, panels, "active experts")


def error_plot(device, points, asked):
    """Signed errors at held-out points of expert layers, in per cent; dashed: the median that is asked of interpolation."""
    layers = [p for p in points if p["op"].startswith("moe_experts")]
    end = max(p["active"] for p in layers)
    panels, top = [], TOP + 22
    for basis in ("interpolated", "extrapolated"):
        for quantity in ("latency", "energy"):
            dots = [(p["active"], 100 * p[f"{quantity}_error"], DTYPES.get(p["dtype"], INK)) for p in layers
                    if p["basis"] == basis and p[f"{quantity}_error"] is not None]
            if not dots:
                continue
            caps = (-100 * asked, 100 * asked) if basis == "interpolated" else ()
            panels.append(Curves(f"{basis}: {quantity}, %", {}, {}, dots, top, end, caps=caps))
            top += HEIGHT + BETWEEN
    legend = [(dtype, DTYPES.get(dtype, INK), "dot") for dtype in dict.fromkeys(p["dtype"] for p in layers)]
    return page(f"{device}: predicted over measured at held-out points", legend, panels, "active experts")
