# SPDX-License-Identifier: Apache-2.0
"""Words for the log that would be the same at every step."""
from __future__ import annotations

import logging
from typing import Any

_MOST = 8  # kinds; whatever fails in more ways is known to fail


def without_numbers(text: str) -> str:
    """What kind of thing is said: times, steps and watts in it change."""
    return text.translate({ord(character): None for character in "0123456789."})


class SaidOnce:
    """Errors, each kind of which is said once."""

    def __init__(self, log: logging.Logger) -> None:
        self._log = log
        self._kinds: set[str] = set()

    def error(self, text: str, cause: BaseException | None = None) -> None:
        """`cause`: one whose traceback is wanted."""
        kind = without_numbers(text)
        if kind not in self._kinds and len(self._kinds) < _MOST:
            self._kinds.add(kind)
            self._log.error("%s", text, exc_info=cause)


class Guard:
    """A fault of ours is said, once, and the engine goes on: a step without an order is the engine's own."""

    def __init__(self, log: logging.Logger) -> None:
        self._said = SaidOnce(log)

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        self._said.error(f"a fault of the plug-in's; the engine goes on: {error!r}", error)
        return True
