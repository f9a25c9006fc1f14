# SPDX-License-Identifier: Apache-2.0
"""What is told of a plan: sums over scored tokens, window by window, and the figures that they make."""
from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any


@dataclasses.dataclass
class WindowSums:
    """Of one window's scored tokens, under one plan."""
    tokens: int = 0
    nats: float = 0.0  # of the text's tokens
    kl: float = 0.0  # nats, unpriced || priced
    agree: int = 0  # tokens where both hold the same token for the likeliest

    def add(self, *, nats: float, kl: float, agree: bool) -> None:
        """One token."""
        self.tokens += 1
        self.nats += nats
        self.kl += kl
        self.agree += agree


class NotFiniteError(RuntimeError):
    """A model that says NaN."""

    def __init__(self) -> None:
        super().__init__("the model gives log probabilities that are no finite numbers: its numbers overflow, or its weights are "
                         "damaged. --engine-args '{\"dtype\": \"float32\"}' tells which")


@dataclasses.dataclass
class Spread:
    """What decode steps ran; absent where an engine does not say."""
    steps: int = 0  # times layers
    active: int = 0  # distinct experts
    picks: int = 0
    tokens: int = 0


@dataclasses.dataclass
class PlanFigures:
    """Of one plan; of the model's own routing `price` is None."""
    price: float | None
    k_min: int | None = None
    windows: list[WindowSums] = dataclasses.field(default_factory=list)
    spread: Spread = dataclasses.field(default_factory=Spread)
    score: float | None = None

    def to_json(self, own: PlanFigures) -> dict[str, Any]:
        tokens = sum(window.tokens for window in self.windows)
        made: dict[str, Any] = {"price": self.price, "k_min": self.k_min, "tokens": tokens}
        if tokens:
            nats = sum(window.nats for window in self.windows) / tokens
            made |= {"nats_per_token": nats, "perplexity": math.exp(nats)}
            if self is not own:
                loss = nats - sum(window.nats for window in own.windows) / tokens
                made |= {"loss_nats": loss, "loss_nats_95": _interval(self.windows, own.windows),
                         "kl_nats": sum(window.kl for window in self.windows) / tokens,
                         "top1_agreement": sum(window.agree for window in self.windows) / tokens}
        if self.spread.steps:
            made |= {"active_experts": self.spread.active / self.spread.steps,
                     "experts_per_token": self.spread.picks / self.spread.tokens}
        if self.score is not None:
            made["score"] = self.score
        return made


def _interval(windows: Sequence[WindowSums], own: Sequence[WindowSums]) -> list[float] | None:
    """95 % of the mean loss a token, by how it differs from window to window; None: too few to tell."""
    pairs = [(a.nats - b.nats, a.tokens) for a, b in zip(windows, own) if a.tokens]
    if len(pairs) < 8:
        return None
    tokens = sum(n for _, n in pairs)
    mean = sum(loss for loss, _ in pairs) / tokens
    residuals = sum((loss - mean * n) ** 2 for loss, n in pairs)
    half = 1.96 * math.sqrt(residuals * len(pairs) / (len(pairs) - 1)) / tokens
    return [mean - half, mean + half]


_COLUMNS = (("price", "price", "{:g}"), ("perplexity", "perplexity", "{:.4f}"), ("loss_nats", "loss, nats/token", "{:+.4f}"),
            ("loss_nats_95", "95 %", "{0[0]:+.4f} to {0[1]:+.4f}"), ("kl_nats", "KL, nats", "{:.4f}"),
            ("top1_agreement", "same top-1", "{:.1%}"), ("active_experts", "D", "{:.1f}"),
            ("experts_per_token", "experts a token", "{:.2f}"), ("score", "score", "{:g}"))


def table(plans: Sequence[dict[str, Any]]) -> str:
    """Columns that no plan has are left out."""
    shown = [column for column in _COLUMNS if column[0] == "price" or any(plan.get(column[0]) is not None for plan in plans)]
    lines = [[title for _, title, _ in shown]]
    for plan in plans:
        cells = [form.format(plan[key]) if plan.get(key) is not None else "–" for key, _, form in shown]
        k_min = plan["k_min"]
        cells[0] = "unpriced" if plan["price"] is None else cells[0] + (f", k_min {k_min}" if k_min > 1 else "")
        lines.append(cells)
    widths = [max(len(line[column]) for line in lines) for column in range(len(shown))]
    return "\n".join("  ".join(cell.ljust(width) if not column else cell.rjust(width)
                               for column, (cell, width) in enumerate(zip(line, widths))).rstrip() for line in lines)
