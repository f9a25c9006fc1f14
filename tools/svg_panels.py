# SPDX-License-Identifier: Apache-2.0
"""Panels under each other with one scale from left to right, as SVG: what plots of results are made of.

Colours are legible on white and on black; there is no background and no script.
"""
import html
import math

INK, TARGET = "#7b838c", "#d5453b"
WIDTH, LEFT, RIGHT, TOP = 860, 62, 12, 30


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
    """A plot of one quantity, left to right from 0 to `end`; lines are {name: [(x, y)]}."""

    def __init__(self, label, lines, height, top, end, log=False, include=()):
        self.label, self.lines, self.log, self.end = label, lines, log, end
        self.top, self.height = top, height
        values = [value for points in lines.values() for _, value in points] + list(include)
        low, high = min(values), max(values)
        pad = 0.06 * (high - low) or 0.05 * abs(high) or 1.0
        self.low, self.high = (low / 1.2, high * 1.2) if log else (low - pad, high + pad)

    def bottom(self):
        return self.top + self.height

    def x(self, value):
        return LEFT + (WIDTH - LEFT - RIGHT) * value / self.end

    def y(self, value):
        place = (math.log(value / self.low) / math.log(self.high / self.low) if self.log
                 else (value - self.low) / (self.high - self.low))
        return self.top + self.height * (1 - place)

    def axis(self):
        marks = logarithmic(self.low, self.high) if self.log else list(ticks_of(self.low, self.high, self.height / 32))
        for value in marks:
            y = self.y(value)
            yield f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>'
            words = f"{value:g}" if value >= 0.001 or not self.log else f"{value:.0e}".replace("e-0", "e-")
            yield f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{words}</text>'
        yield (f'<text transform="translate(13 {self.top + self.height / 2:.0f}) rotate(-90)" text-anchor="middle">'
               f"{html.escape(self.label)}</text>")

    def cap(self, value):
        return f'<path class="cap" d="M{LEFT} {self.y(value):.1f}H{WIDTH - RIGHT}"/>'

    def scale_below(self, unit=""):
        """Numbers under the lowest panel; the unit at 0 only."""
        for value in ticks_of(0.0, self.end, 8):
            yield (f'<text x="{self.x(value):.1f}" y="{self.bottom() + 18:.0f}" text-anchor="middle">'
                   f'{value:g}{unit if value == 0 else ""}</text>')


def document(title, height, body):
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" role="img">',
        f"<title>{html.escape(title)}</title>",
        "<style>"
        f"text{{font:12px sans-serif;fill:{INK}}}.grid{{stroke:{INK};stroke-opacity:.25}}.shade{{fill:#b39b30;fill-opacity:.18}}"
        f".line{{fill:none;stroke-width:1.6;stroke-linejoin:round}}.ours{{stroke-width:2.4}}"
        f".cap{{stroke:{TARGET};stroke-dasharray:5 4;stroke-width:1.4}}</style>",
        f'<text x="{LEFT}" y="14" style="font-weight:bold">{html.escape(title)}</text>', *body, "</svg>", ""])
