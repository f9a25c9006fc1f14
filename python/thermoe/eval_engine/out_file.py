# SPDX-License-Identifier: Apache-2.0
"""The file of all figures: replaced whole or left as it is. A link is followed; what is no file is not replaced."""
from __future__ import annotations

import os
import pathlib

from .bad_input import BadInput


class OutFile:
    def __init__(self, given: str) -> None:
        """Raises BadInput where it cannot be written."""
        self._path = pathlib.Path(given).resolve()
        folder = self._path.parent
        if self._path.exists() and not self._path.is_file():  # a device would be replaced for everybody
            raise BadInput(f"--out {given}: is no file; --json prints the figures")
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise BadInput(f"--out {given}: cannot be written; expected a file in a folder that exists")

    def write(self, text: str) -> None:
        """Raises OSError."""
        part = self._path.with_name(self._path.name + ".part")
        try:
            part.write_text(text)
            part.replace(self._path)
        except OSError:
            part.unlink(missing_ok=True)
            raise
