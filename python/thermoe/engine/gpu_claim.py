# SPDX-License-Identifier: Apache-2.0
"""Who else holds a target on a GPU: engines lock a file each, and look for those of others.

Two controllers of one GPU each see the watts of both, and each would pay for what the other draws.
"""
from __future__ import annotations

import fcntl
import glob
import logging
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

_log = logging.getLogger("vllm.thermoe")


class GpuClaims:
    """This engine's claims of its GPUs, for as long as it lives: a process that ends in any way unlocks its files."""

    def __init__(self, gpus: Iterable[str], folder: str | None = None) -> None:
        self._folder = folder or tempfile.gettempdir()
        self._own: dict[str, int] = {}  # path to descriptor
        self._said: set[str] = set()
        self._prefixes = {gpu: f"thermoe-{re.sub('[^0-9A-Za-z-]', '_', gpu)}-" for gpu in gpus}
        try:
            for prefix in self._prefixes.values():
                self._claim(prefix)
        except OSError as error:
            _log.warning("%s: no claim of a GPU can be written there, so that another engine on it goes unnoticed: %s",
                         self._folder, error)

    def _claim(self, prefix: str) -> None:
        descriptor, path = tempfile.mkstemp(prefix=prefix, suffix=".claim", dir=self._folder)
        self._own[path] = descriptor
        os.fchmod(descriptor, 0o644)  # another user's engine is to see it
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, f"{os.getpid()}\n".encode())

    def tell(self) -> None:
        """Says once of each other engine that it is there."""
        for gpu, prefix in self._prefixes.items():
            for path in glob.glob(os.path.join(glob.escape(self._folder), glob.escape(prefix) + "*.claim")):
                if path in self._own or path in self._said or not _is_locked(path):
                    continue
                self._said.add(path)
                _log.error("%s: another engine (process %s) holds a target on this GPU, too. Both controllers see the "
                           "watts of both and will throttle each other: give each engine a GPU of its own, or one of "
                           "them no target", gpu, _owner(path))

    def close(self) -> None:
        for path, descriptor in self._own.items():
            Path(path).unlink(missing_ok=True)
            os.close(descriptor)
        self._own = {}


def _is_locked(path: str) -> bool:
    """Removes what a dead engine left."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)  # a pipe's reader would wait
    except OSError:
        return False  # gone meanwhile
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return False  # no engine's
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        Path(path).unlink(missing_ok=True)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False  # another user's leftover, which only they may remove
    finally:
        os.close(descriptor)


def _owner(path: str) -> str:
    try:
        return Path(path).read_text().strip() or "unknown"
    except OSError:
        return "unknown"
