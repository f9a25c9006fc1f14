# SPDX-License-Identifier: Apache-2.0
"""What prices cost a model in quality, before they are switched on: perplexity of a text, and how far the distributions of
the next token go from the unpriced ones at the same prompts; a task's score where a command gives one.

    python3 -m thermoe.eval_engine --model MODEL --text FILE --price 0.05 0.1

The text's windows are decoded a token a step, --batch of them together, as an engine decodes: prices depend on what is
decoded together. Run it on texts and tasks of your own.
"""
from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any, TextIO

from .bad_input import BadInput
from .figures import PlanFigures, table
from .out_file import OutFile
from .plans import PricedPlan, read_plans
from .progress import Progress
from .score_command import ScoreError, run_score
from .text import Batch, Windows, cut, read_text


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    progress = Progress()
    try:
        evaluation = Evaluation(options, progress)
    except BadInput as error:
        return _failed(progress, error, 2)
    except KeyboardInterrupt:
        return _failed(progress, "interrupted: nothing was scored yet", 1)
    try:
        evaluation.run()
        code = 0
    except KeyboardInterrupt:
        code = _failed(progress, "interrupted: " + ("the figures are of what was scored until then" if evaluation.scored else
                                                    "nothing was scored yet"), 1)
    except BadInput as error:
        return _failed(progress, error, 2)  # nothing was scored yet
    except (ScoreError, RuntimeError) as error:  # RuntimeError: the engine's, and out of memory
        code = _failed(progress, error, 1)
    progress.end()
    if not evaluation.scored:
        return code  # what an earlier run has written stays
    try:
        evaluation.tell(complete=code == 0)
    except OSError as error:  # a full disk, or nobody reads on
        code = _failed(progress, error, 1)
    return code


def _failed(progress: Progress, what: object, code: int) -> int:
    progress.end()
    print(f"error: {what}", file=sys.stderr)
    return code


class Evaluation:
    """All that is asked is checked before the model is loaded. Raises BadInput."""

    def __init__(self, options: argparse.Namespace, progress: Progress) -> None:
        self._options = options
        self._progress = progress
        self._plans: list[PricedPlan] = read_plans(options.price, options.k_min, options.denominator, options.settings)
        self._figures = [PlanFigures(None), *(PlanFigures(plan.price, plan.k_min) for plan in self._plans)]
        self._about: dict[str, Any] = {"schema": 1, "engine": options.engine}
        self._text = b""
        self._out = None if options.out is None else OutFile(options.out)
        _check(options)
        if options.text is not None:
            self._text = read_text(options.text)
            self._about |= {"model": options.model, "text": options.text,
                            "text_sha256": hashlib.sha256(self._text).hexdigest(), "context": options.context,
                            "prompt": options.prompt, "batch": options.batch}
        self._about["denominator"] = self._plans[0].denominator
        if options.score is not None:
            self._about |= {"score_command": options.score, "score_key": options.score_key}

    def run(self) -> None:
        with tempfile.TemporaryDirectory(prefix="thermoe-eval-") as folder:
            if self._options.text is not None:
                (self._with_vllm if self._options.engine == "vllm" else self._with_transformers)(pathlib.Path(folder))
            if self._options.score is not None:
                self._score(pathlib.Path(folder))

    @property
    def scored(self) -> bool:
        """Whether there is anything to tell."""
        return any(figure.score is not None or any(window.tokens for window in figure.windows) for figure in self._figures)

    def tell(self, *, complete: bool) -> None:
        """The table, and all figures where they are asked for. Raises OSError."""
        plans = [figure.to_json(self._figures[0]) for figure in self._figures]
        text = json.dumps({**self._about, "plans": plans, "complete": complete}, indent=1, allow_nan=False)
        try:
            if self._out is not None:
                self._out.write(text + "\n")
        finally:  # a file that cannot be written costs the table nothing
            self._print(plans, text)

    def _print(self, plans: Sequence[dict[str, Any]], text: str) -> None:
        _say(table(plans), sys.stderr if self._options.json else sys.stdout)
        for plan in plans[1:]:
            if plan.get("kl_nats") == 0.0 and plan["price"] > 0:
                print(f"at price {plan['price']:g} the model's distributions are those without a price, bit for bit: it "
                      "dropped no expert", file=sys.stderr)
        if self._options.json:
            _say(text, sys.stdout)

    def _with_transformers(self, _: pathlib.Path) -> None:
        from . import transformers_engine as engine
        options = self._options
        self._progress.say(f"loading {options.model}")
        model = engine.load(options.model, options.device, options.engine_args)
        batches = self._batches()
        self._about |= engine.about(model) | {"kl_of": engine.KL_OF}
        engine.compare(model, batches, self._plans, self._figures, self._progress, prompt=options.prompt)

    def _with_vllm(self, folder: pathlib.Path) -> None:
        from . import vllm_engine as engine
        self._about["kl_of"] = engine.kl_of(self._options.top)
        engine.compare(self._options.model, self._batches(), self._plans, self._figures, self._progress, folder,
                       arguments=self._options.engine_args, top=self._options.top)

    def _batches(self) -> list[Batch]:
        from .transformers_engine import tokeniser
        options = self._options
        tokenise, begin = tokeniser(options.model, options.tokenizer)
        return cut(tokenise(self._text), begin, Windows(options.context, options.prompt, options.batch, options.max_tokens))

    def _score(self, folder: pathlib.Path) -> None:
        options = self._options
        self._progress.say("score: unpriced")
        self._figures[0].score = run_score(options.score, options.score_key, None)
        for plan, figure in zip(self._plans, self._figures[1:]):
            self._progress.say(f"score: at price {plan.name}")
            settings = folder / "thermoe.json"
            plan.write_settings(settings)
            figure.score = run_score(options.score, options.score_key, settings)


def _check(options: argparse.Namespace) -> None:
    if options.text is None and options.score is None:
        raise BadInput("--text or --score: what is to be measured?")
    if options.text is not None and options.model is None:
        raise BadInput("--model: whose text is scored?")
    if options.score_key is not None and options.score is None:
        raise BadInput("--score-key: names a number of what --score prints; give that too")
    for name, least in (("context", 2), ("batch", 1), ("max_tokens", 1), ("prompt", 0), ("k_min", 1), ("top", 1)):
        if getattr(options, name) < least:
            raise BadInput(f"--{name.replace('_', '-')} {getattr(options, name)}: expected {least} or more")
    if options.engine == "vllm" and options.text is not None:
        if options.prompt:
            raise BadInput(f"--prompt {options.prompt}: vLLM is given all tokens one a step; leave it out with --engine vllm")
        if options.device is not None:
            raise BadInput(f"--device {options.device}: is for transformers; choose vLLM's by CUDA_VISIBLE_DEVICES")
        from . import vllm_engine
        vllm_engine.check(options.model, options.engine_args)
    if options.text is not None:
        for needed in ("torch", "transformers"):
            with contextlib.suppress(ImportError):
                __import__(needed)
                continue
            raise BadInput(f"--text: needs {needed}: pip install './python[transformers]'")


def _object(text: str) -> dict[str, Any]:
    with contextlib.suppress(ValueError):
        value = json.loads(text)
        if isinstance(value, dict):
            return value
    raise argparse.ArgumentTypeError(f"{text}: expected a JSON object, as '{{\"dtype\": \"bfloat16\"}}'")


def _say(text: str, stream: TextIO) -> None:
    """In what the stream can say: a locale need not know the table's dash. Raises OSError."""
    encoding = stream.encoding or "utf-8"
    try:
        print(text.encode(encoding, "replace").decode(encoding), file=stream, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # or the interpreter would say it again as it ends
        raise


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=os.environ.get("THERMOE_PROGRAM", "python3 -m thermoe.eval_engine"),
                                     description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, epilog=(
        "Ctrl-C ends it and writes what was scored until then, with \"complete\": false.\n"
        "Exit codes: 0 done, 1 failed or interrupted, 2 bad input."))
    add = parser.add_argument
    add("--model", help="folder or name that the engine loads, or a .safetensors of `thermoe train` (transformers)")
    add("--text", metavar="FILE", help="whose perplexity is measured")
    add("--engine", choices=("transformers", "vllm"), default="transformers", help="%(default)s where left out")
    add("--price", type=float, nargs="+", default=[], help="what a decode batch would lose without an expert, below which it "
        "does not run, in units of a token's own top-k mass (docs/theory.md)")
    add("--settings", metavar="FILE", nargs="+", default=[], help="settings of a plug-in with a \"plan\"; beside --price or alone")
    add("--k-min", type=int, default=1, help="each token's best so many run at any --price (%(default)s)")
    add("--denominator", choices=("reference", "picked"), default="reference", help="what weights are divided by where experts "
        "were dropped (%(default)s)")
    add("--context", type=int, default=512, help="tokens of a window (%(default)s)")
    add("--prompt", type=int, default=0, help="of them are read at once, unpriced and unscored, before decoding (%(default)s)")
    add("--batch", type=int, default=16, help="windows that are decoded, and priced, together (%(default)s)")
    add("--max-tokens", type=int, default=1 << 16, help="scored, rounded up to whole batches (%(default)s)")
    add("--tokenizer", metavar="NAME", help="`bytes`, or whose; the model's own where left out")
    add("--device", help="transformers: cpu, cuda, cuda:N, or auto, which spreads a model over GPUs")
    add("--engine-args", type=_object, default={}, metavar="JSON", help="further arguments of from_pretrained or vllm.LLM, as "
        "'{\"tensor_parallel_size\": 2}'")
    add("--top", type=int, default=64, help="vLLM: likeliest tokens that distributions are compared by (%(default)s)")
    add("--score", metavar="COMMAND", help="a task harness: run by a shell unpriced and for each plan, with THERMOE_CONFIG naming "
        "its settings file; the last line that it prints is the score")
    add("--score-key", metavar="A.B", help="the score in that line, where it is a JSON object")
    add("--json", action="store_true", help="all figures on standard output, the table on standard error")
    add("--out", metavar="FILE", help="all figures as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
