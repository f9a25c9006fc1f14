# SPDX-License-Identifier: Apache-2.0
"""Functions of vLLM's that are replaced by ours around them."""
from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

STOCK = "thermoe_stock"  # of a wrapped function: vLLM's own


def wrap(owner: Any, name: str, around: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
    """Replaces owner.name by around(it), once."""
    stock = getattr(owner, name)
    if hasattr(stock, STOCK):
        return
    wrapped = functools.wraps(stock)(around(stock))
    setattr(wrapped, STOCK, stock)
    setattr(owner, name, wrapped)


def is_wrapped(owner: Any, name: str) -> bool:
    return hasattr(getattr(owner, name), STOCK)
