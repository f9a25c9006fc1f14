# SPDX-License-Identifier: Apache-2.0
"""The entry point of SGLang's plug-ins (`sglang.srt.plugins`), called in each of SGLang's processes, before its engine.

SGLang logs an Exception of a plug-in's and serves without it, so what is refused ends the process instead.
"""
import os
import sys

CONFIG = "THERMOE_CONFIG"  # the settings' path


def register() -> None:
    """Has SGLang's hooks installed where a configuration asks for it. Ends the process, with a word, where that cannot be."""
    path = os.environ.get(CONFIG)
    if not path:
        return
    try:
        from .engine.settings import read_settings
        read_settings(path)
        from .sglang.install import install
        install()
    except Exception as error:  # the process's root, as far as we are concerned
        print(f"thermoe: {error}", file=sys.stderr, flush=True)
        raise SystemExit(2) from error
