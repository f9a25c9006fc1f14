# SPDX-License-Identifier: Apache-2.0
"""Which engine it is: what is not known is refused by name, and never served unnoticed."""
from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..routing import Router


class UnsupportedEngineError(RuntimeError):
    """An engine, a configuration or a model that a plug-in cannot serve, naming what is in the way and what to do."""


def check_version(engine: str, version: str, *, run: Sequence[str], checked: Sequence[str], without: str) -> str | None:
    """What the log is to say of a known version; None: nothing. `run` were run on a GPU, of `checked` signatures and
    routers were compared; `without` is what serves without the plug-in. Raises UnsupportedEngineError for any other."""
    release = version.split("+")[0]
    if release in run:
        return None
    if release in checked:
        return (f"{engine} {version}: its signatures and routers were checked, but the plug-in was not run on a GPU with it"
                + (f"; {' and '.join(run)} was" if run else ""))
    raise UnsupportedEngineError(f"{engine} {version} is not known to thermoe: known are {', '.join([*run, *checked])}. "
                                 f"Install one of these, or {without} to serve without it")


def check_signatures(engine: str, signatures: Mapping[str, tuple[str, ...]], *, others: bool = False) -> None:
    """Raises UnsupportedEngineError where a name ("module:Class.function") is not there or does not take these
    parameters. `others`: it may take more besides."""
    wrong = [text for name, expected in signatures.items() if (text := _difference(name, expected, others))]
    if wrong:
        raise UnsupportedEngineError(f"this {engine} is not as its version says: {'; '.join(wrong)}. A changed {engine} "
                                     "cannot be served; install a release that thermoe knows")


def check_engine(refusals: Sequence[tuple[bool, str, str]], warnings: Sequence[tuple[bool, str]]) -> list[str]:
    """What the log is to warn of: the text of each (holds, text). Raises UnsupportedEngineError, naming all (holds, what, remedy)
    that hold."""
    refused = [f"{what}: {remedy}" for holds, what, remedy in refusals if holds]
    if refused:
        raise UnsupportedEngineError("thermoe cannot serve this engine. " + ". ".join(refused))
    return [text for holds, text in warnings if holds]


def require_one_kind(layers: Sequence[tuple[str, int, Router, bool]]) -> None:
    """Of MoE layers (name, experts, router, whether it has a selection bias). Raises UnsupportedEngineError where two differ: a
    plan is of one shape."""
    first, *others = layers
    for name, experts, spec, biased in others:
        if (experts, spec, biased) != first[1:]:
            raise UnsupportedEngineError(
                f"{name} routes among {experts} experts as {spec}{_bias(biased)}, {first[0]} among {first[1]} as "
                f"{first[2]}{_bias(first[3])}: all MoE layers of a model must have one shape and one kind")


def _bias(there: bool) -> str:
    return " with a selection bias" if there else ""


def _difference(name: str, expected: tuple[str, ...], others: bool) -> str | None:
    module, _, path = name.partition(":")
    try:
        target: Any = importlib.import_module(module)
        for part in path.split("."):
            target = inspect.getattr_static(target, part)
    except (ImportError, AttributeError) as error:
        return f"{name} is not there ({error})"
    has = tuple(inspect.signature(target).parameters)
    fits = set(expected) <= set(has) if others else has == expected
    return None if fits else f"{name} takes ({', '.join(has)}), expected ({', '.join(expected)})"
