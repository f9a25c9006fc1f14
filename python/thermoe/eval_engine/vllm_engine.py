# SPDX-License-Identifier: Apache-2.0
"""vLLM, once for each plan: without the plug-in's settings, then under each plan's, each in a process of its own.

A window is a prompt whose tokens' log probabilities vLLM returns. `long_prefill_token_threshold` 1 has the scheduler take
one token of each window a step, so that a step is what decoding is: one token of each of the rows, priced together.
Of each distribution vLLM returns the likeliest tokens: KL is over those that both name, and the rest as one.
"""
from __future__ import annotations

import importlib.metadata
import json
import math
import os
import pathlib
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .._vllm_entry import CONFIG
from .bad_input import BadInput
from .figures import NotFiniteError, PlanFigures, WindowSums
from .plans import PricedPlan
from .progress import Progress
from .text import Batch


#: Arguments of vllm.LLM that decide what a step is, or that are given already.
OURS = frozenset({"model", "skip_tokenizer_init", "max_num_seqs", "long_prefill_token_threshold", "enable_prefix_caching"})


class EngineError(RuntimeError):
    """A process of vLLM's that failed."""


def kl_of(top: int) -> str:
    return f"the {top} likeliest tokens that both name, and the rest as one: a lower bound"


def check(model: str, arguments: Mapping[str, Any]) -> None:
    """Raises BadInput where vLLM would not load the model, or priced runs would be vLLM's own."""
    if model.endswith(".safetensors"):
        raise BadInput(f"--model {model}: vLLM loads a folder; python3 -m thermoe.hf.convert makes one of a checkpoint")
    for key in sorted(OURS & arguments.keys()):
        raise BadInput(f"--engine-args: {key} is {arguments[key]!r}: this is how windows are decoded and priced together, a token "
                       "of each a step; leave it out (--batch says how many)")
    try:
        importlib.metadata.version("vllm")
    except importlib.metadata.PackageNotFoundError as error:
        raise BadInput("--engine vllm: vLLM is not installed for this Python") from error
    if not any(point.name == "thermoe" for point in importlib.metadata.entry_points(group="vllm.general_plugins")):
        raise BadInput("--engine vllm: thermoe is not installed as a plug-in of vLLM's, which would serve without prices; "
                       "pip install ./python")
    chosen = os.environ.get("VLLM_PLUGINS")
    if chosen is not None and "thermoe" not in chosen.split(","):
        raise BadInput(f"VLLM_PLUGINS={chosen}: vLLM would load no plug-in of thermoe's and serve without prices; add thermoe, "
                       "or unset it")


def compare(model: str, batches: Sequence[Batch], plans: Sequence[PricedPlan], figures: Sequence[PlanFigures],
            progress: Progress, folder: pathlib.Path, *, arguments: dict[str, Any], top: int) -> None:
    """Adds to `figures`, unpriced, then the plans'. `folder`: for files of this run. Raises EngineError."""
    job = folder / "job.json"
    job.write_text(json.dumps({"model": model, "batches": [batch.ids for batch in batches], "top": top, "engine": {
        "max_model_len": len(batches[0].ids[0]) + 1, "max_num_seqs": len(batches[0].ids), "max_logprobs": top,
        "long_prefill_token_threshold": 1, "enable_prefix_caching": False, **arguments}}))
    own: list[list[dict[int, float]]] = []
    for number, figure in enumerate(figures):
        settings = None
        if number:
            settings = folder / f"plan{number}.json"
            plans[number - 1].write_settings(settings)
        progress.say(f"vLLM {'unpriced' if settings is None else 'at price ' + plans[number - 1].name}")
        told = list(_windows(job, folder / f"logprobs{number}.jsonl", settings))
        own = own or told
        figure.windows.extend(_sums(ids, counted, mine, theirs) for ids, counted, mine, theirs in zip(
            (ids for batch in batches for ids in batch.ids), (row for batch in batches for row in batch.counted), own, told))


def _windows(job: pathlib.Path, out: pathlib.Path, settings: pathlib.Path | None) -> Iterable[list[dict[int, float]]]:
    """Each window's positions from the second on: log probabilities of the likeliest tokens and the text's own."""
    environment = {name: value for name, value in os.environ.items() if name != CONFIG}
    if settings is not None:
        environment[CONFIG] = str(settings)
    done = subprocess.run([sys.executable, "-m", "thermoe.eval_engine.vllm_child", str(job), str(out)], env=environment,
                          stdout=sys.stderr, check=False)
    if done.returncode != 0:
        raise EngineError(f"vLLM ended with {done.returncode} {'unpriced' if settings is None else 'under a plan'}; its own "
                          "words are above")
    for line in out.read_text().splitlines():
        yield [{int(token): value for token, value in position.items()} for position in json.loads(line)]


def _sums(ids: Sequence[int], counted: Sequence[bool], own: Sequence[dict[int, float]],
          priced: Sequence[dict[int, float]]) -> WindowSums:
    sums = WindowSums()
    for token, counts, mine, theirs in zip(ids[1:], counted[1:], own, priced):
        if counts:
            nats, kl = -theirs[token], partial_kl(mine, theirs)
            if not (math.isfinite(nats) and math.isfinite(kl)):
                raise NotFiniteError
            sums.add(nats=nats, kl=kl, agree=max(mine, key=mine.__getitem__) == max(theirs, key=theirs.__getitem__))
    return sums


def partial_kl(own: dict[int, float], priced: dict[int, float]) -> float:
    """KL of what both distributions name, and of the rest as one token: never more than that of the whole ones."""
    shared = own.keys() & priced.keys()
    kl = sum(math.exp(own[token]) * (own[token] - priced[token]) for token in shared)
    rest, other = (max(0.0, 1.0 - sum(math.exp(those[token]) for token in shared)) for those in (own, priced))
    return kl + (rest * math.log(rest / other) if rest > 1e-6 and other > 1e-6 else 0.0)
