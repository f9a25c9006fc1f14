# SPDX-License-Identifier: Apache-2.0
"""A text as windows of tokens, in batches whose windows lie far apart: what is decoded together is priced together."""
from __future__ import annotations

import dataclasses
import math
import pathlib
from collections.abc import Callable, Sequence

from .bad_input import BadInput

#: Text to token ids.
Tokenise = Callable[[bytes], list[int]]


@dataclasses.dataclass(frozen=True)
class Batch:
    """Windows of one length that are decoded together."""
    ids: list[list[int]]
    counted: list[list[bool]]  # whether a position's token is scored; never one of the prompt's


@dataclasses.dataclass(frozen=True)
class Windows:
    """How a text is cut."""
    context: int  # tokens of a window
    prompt: int  # of them are read at once and unpriced, as an engine reads a prompt; 0: none
    rows: int  # windows that are decoded together
    most_tokens: int  # that are scored


def read_text(path: str) -> bytes:
    """Raises BadInput."""
    file = pathlib.Path(path)
    if file.exists() and not file.is_file():
        raise BadInput(f"--text {path}: is no file")
    try:
        return file.read_bytes()
    except OSError as error:
        raise BadInput(f"--text {path}: {error.strerror}") from error


def cut(ids: Sequence[int], begin: Sequence[int], how: Windows) -> list[Batch]:
    """Whole windows, spread evenly over the text. `begin`: tokens that the tokenizer puts before every text; each window
    has them and does not score them. Raises BadInput where the text is too short."""
    first = max(how.prompt + 1, len(begin), 1)  # position of the first token that is scored
    body = how.context - len(begin)
    if first >= how.context:
        raise BadInput(f"--context {how.context}: leaves no token to score after {how.prompt} of the prompt"
                       f"{f' and {len(begin)} that the tokenizer begins with' if begin else ''}; expected {first + 1} or more")
    there = len(ids) // body
    batches = min(there // how.rows, math.ceil(how.most_tokens / (how.rows * (how.context - first))))
    if batches == 0:
        raise BadInput(f"--text: has {len(ids)} tokens, that is {there} windows of --context {how.context}, and --batch "
                       f"{how.rows} are decoded together; give a longer text, a smaller --context or a smaller --batch")
    total = batches * how.rows
    windows = [[*begin, *ids[n * there // total * body:][:body]] for n in range(total)]
    counted = [False] * first + [True] * (how.context - first)
    return [Batch(ids=windows[batch::batches], counted=[counted] * how.rows) for batch in range(batches)]


def bytes_as_tokens(text: bytes) -> list[int]:
    return list(text)
