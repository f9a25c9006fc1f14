# SPDX-License-Identifier: Apache-2.0
"""A model of transformers, decoded a token a step under each plan in turn: the same text, a cache for each plan."""
from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
import transformers

from ..control import Decision
from ..hf.attachment import Attachment
from ..hf.routers import UnsupportedModelError, find_routers
from ..plan import RoutingPlan
from .bad_input import BadInput
from .figures import NotFiniteError, PlanFigures, WindowSums
from .plans import PricedPlan
from .progress import Progress
from .text import Batch, Tokenise, bytes_as_tokens

KL_OF = "whole distributions"


class OneOfPlans:
    """An Attachment's PlanSource: the plan that `current` says, unpaced; what each ran is added to `figures`. The first is the model's
    own routing, under which prompts are read too."""

    def __init__(self, plans: Sequence[RoutingPlan], figures: Sequence[PlanFigures]) -> None:
        self._decisions = [Decision(version=n, plan=memoryview(plan.to_bytes()), active=None, step_period_s=0.0,
                                    valid_for_s=None, safe=False, sample_wanted=True, calibrating=False)
                           for n, plan in enumerate([*plans, plans[0]])]
        self._figures = figures
        self.current = self.prompt = len(plans)

    def acquire(self) -> Decision:
        return self._decisions[self.current]

    def observe(self, *, version: int, tokens: int, counts: torch.Tensor | None, **_: Any) -> None:
        if counts is None or version == self.prompt:
            return
        spread = self._figures[version].spread
        spread.steps += len(counts)
        spread.active += int(counts.count_nonzero())
        spread.picks += int(counts.sum())
        spread.tokens += tokens * len(counts)

    def close(self) -> None:
        pass


def load(model: str, device: str | None, arguments: dict[str, Any]) -> Any:
    """A folder or name that transformers knows, or a .safetensors of `thermoe train`. Raises BadInput."""
    loaded: Any
    try:
        if model.endswith(".safetensors"):
            from ..hf.convert import convert_checkpoint
            named = {"dtype": getattr(torch, arguments["dtype"])} if "dtype" in arguments else {}  # as from_pretrained takes it
            loaded = convert_checkpoint(model, **{**arguments, **named})
        else:
            loaded = transformers.AutoModelForCausalLM.from_pretrained(
                model, **{"dtype": "auto", **({"device_map": "auto"} if device == "auto" else {}), **arguments})
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # SafetensorError of a torn file, AttributeError of an argument's value, ...
        raise BadInput(f"--model {model}: {error}") from error
    if device != "auto":
        try:
            loaded.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        except (RuntimeError, AssertionError) as error:
            raise BadInput(f"--device {device}: {error}") from error
    return loaded.eval()


def tokeniser(model: str, name: str | None) -> tuple[Tokenise, list[int]]:
    """How text becomes tokens, and those that begin every text. Raises BadInput."""
    if name == "bytes" or (name is None and model.endswith(".safetensors")):
        return bytes_as_tokens, []
    try:
        made = transformers.AutoTokenizer.from_pretrained(name or model)
    except (OSError, ValueError, ImportError, KeyError) as error:
        raise BadInput(f"--tokenizer: {name or model} has none: {error}. Name one, or `bytes` for a model whose tokens are "
                       "bytes") from error

    def tokenise(text: bytes) -> list[int]:
        try:
            return list(made(text.decode(), add_special_tokens=False)["input_ids"])
        except UnicodeDecodeError as error:
            raise BadInput(f"--text: is no UTF-8 at byte {error.start}, and this model's tokens are not bytes") from error
    return tokenise, list(made("")["input_ids"])


def compare(model: Any, batches: Sequence[Batch], plans: Sequence[PricedPlan], figures: Sequence[PlanFigures],
            progress: Progress, *, prompt: int) -> None:
    """Adds to `figures` (unpriced, then the plans') what each batch's tokens are under each. Raises BadInput."""
    try:
        routers = find_routers(model)
    except UnsupportedModelError as error:
        raise BadInput(f"--model: {error}") from error
    shape = (len(routers), routers[0].experts, routers[0].spec.k)
    source = OneOfPlans([RoutingPlan.baseline(*shape), *(plan.routing_plan(*shape) for plan in plans)], figures)
    most = max(token for batch in batches for row in batch.ids for token in row)
    vocabulary = model.get_input_embeddings().num_embeddings
    if most >= vocabulary:
        raise BadInput(f"--tokenizer: gives token {most}, where the model knows {vocabulary}; it is another model's")
    specs = [router.spec.weighed_by(plans[0].denominator) for router in routers]
    with Attachment(model, routers, specs, source, pace=False):
        for number, batch in enumerate(batches):
            _decode(model, batch, source, figures, prompt, lambda part: progress.update(
                f"batch {number + 1} of {len(batches)}", (number + part) / len(batches)))


@torch.inference_mode()
def _decode(model: Any, batch: Batch, source: OneOfPlans, figures: Sequence[PlanFigures], prompt: int, tell: Any) -> None:
    ids = torch.tensor(batch.ids, device=model.device)
    counted = torch.tensor(batch.counted)
    sums = [[WindowSums() for _ in batch.ids] for _ in figures]
    for figure, windows in zip(figures, sums):
        figure.windows.extend(windows)
    caches: list[Any] = [None] * len(figures)
    if prompt:
        source.current = source.prompt
        read = model(input_ids=ids[:, :prompt], use_cache=True).past_key_values
        caches = [read, *(copy.deepcopy(read) for _ in figures[1:])]
    for position in range(prompt, ids.shape[1] - 1):
        target = ids[:, position + 1:position + 2]
        scored = []
        for n in range(len(figures)):
            source.current = n
            out = model(input_ids=ids[:, position:position + 1], past_key_values=caches[n], use_cache=True)
            caches[n] = out.past_key_values
            logs = out.logits[:, 0].float().log_softmax(-1)
            if n == 0:
                own = logs
            apart = (own.exp() * (own - logs)).sum(-1)
            agree = own.argmax(-1) == logs.argmax(-1)
            scored.append(torch.stack([-logs.gather(1, target)[:, 0], apart, agree.float()]).double().cpu())
            if not scored[-1].isfinite().all():
                raise NotFiniteError
        for windows, values in zip(sums, scored):  # of all plans, or, interrupted, of none
            for row, window in enumerate(windows):
                if counted[row, position + 1]:
                    window.add(nats=float(values[0, row]), kl=float(values[1, row]), agree=bool(values[2, row]))
        tell((position + 1 - prompt) / (ids.shape[1] - 1 - prompt))


def about(model: Any) -> dict[str, Any]:
    """What the figures hold for."""
    return {"class": type(model).__name__, "dtype": str(model.dtype).removeprefix("torch."), "device": str(model.device),
            "transformers": transformers.__version__, "torch": torch.__version__}
