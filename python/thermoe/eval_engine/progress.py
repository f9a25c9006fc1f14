# SPDX-License-Identifier: Apache-2.0
"""How far long work is, on standard error."""
from __future__ import annotations

import sys
import time

_REDRAW_S = 0.2
_LINE_S = 30.0  # between lines where nobody looks at a terminal


class Progress:
    def __init__(self) -> None:
        self._terminal = sys.stderr.isatty()
        self._began = self._last = time.monotonic()
        self._drawn = False

    def update(self, what: str, done: float) -> None:
        """`done`: share of the work, 0 to 1."""
        now = time.monotonic()
        if now - self._last < (_REDRAW_S if self._terminal else _LINE_S):
            return
        self._last = now
        left = f", {_clock((now - self._began) * (1 - done) / done)} left" if done > 0 else ""
        text = f"{what}: {done:4.0%}{left}"
        sys.stderr.write(f"\r{text:<78}" if self._terminal else text + "\n")
        sys.stderr.flush()
        self._drawn = self._terminal

    def say(self, text: str) -> None:
        self.end()
        print(text, file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._drawn:
            sys.stderr.write("\n")
        self._drawn = False


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}" if whole >= 3600 else f"{whole // 60}:{whole % 60:02}"
