# SPDX-License-Identifier: Apache-2.0
"""eval-engine's vLLM: the real one's arguments, and its scheduler, which takes a token of each window a step, so that the
plug-in prices prompts as it does decoding."""
import dataclasses
import inspect
import json
import re

import pytest
import vllm_engine

core = vllm_engine.import_vllm()

from thermoe.eval_engine import vllm_child, vllm_engine as ours  # noqa: E402
from thermoe.vllm import core_hooks  # noqa: E402
from thermoe.vllm.settings import read_settings  # noqa: E402
from vllm.engine.arg_utils import EngineArgs  # noqa: E402
from vllm.sampling_params import SamplingParams  # noqa: E402

ROWS, LENGTH = 4, 7


def test_vllm_takes_what_it_is_given():
    known = {field.name for field in dataclasses.fields(EngineArgs)}
    given = re.findall(r'"(\w+)": ', inspect.getsource(ours.compare).split('"engine": {')[1].split("**arguments")[0])
    assert len(given) == 5 and set(given) <= known and "skip_tokenizer_init" in known
    how = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=64, detokenize=False)
    assert how.prompt_logprobs == 64 and "skip_tokenizer_init" in inspect.getsource(vllm_child)


@pytest.fixture
def engine(tmp_path):
    settings = tmp_path / "plan.json"
    settings.write_text(json.dumps({"plan": {"price": 0.5}}))
    core_hooks.install_core_hooks(lambda _: read_settings(settings))
    config = vllm_engine.configuration(tmp_path, max_num_seqs=ROWS, long_prefill_token_threshold=1)
    made = vllm_engine.make_engine(core, config, rank=vllm_engine.PlayedRank(vllm_engine.FACTS))
    yield made
    made.shutdown()
    vllm_engine.remove_core_hooks()


def test_a_step_takes_one_token_of_each_window_and_is_priced(engine):
    worker, scheduled, schedule = engine.model_executor.driver_worker, [], engine.scheduler.schedule
    sample = worker.sample_tokens

    def without_tokens_of_prompts(grammar_output):
        """As a real rank's: a prompt that is not read yet has no next token."""
        output = sample(grammar_output)
        output.sampled_token_ids = [[7] if len(scheduled) == LENGTH else [] for _ in output.sampled_token_ids]
        return output

    def recorded(*arguments, **keywords):
        output = schedule(*arguments, **keywords)
        scheduled.append(dict(output.num_scheduled_tokens))
        return output

    engine.scheduler.schedule, worker.sample_tokens = recorded, without_tokens_of_prompts
    vllm_engine.add(engine, *(vllm_engine.request(f"w{n}", prompt=LENGTH, tokens=1) for n in range(ROWS)))
    while engine.scheduler.has_requests():
        engine.step_fn()
    steps = [step for step in scheduled if step]
    assert len(steps) == LENGTH and all(step == {name: 1 for name in step} and len(step) == ROWS for step in steps)
    orders = worker.rank.orders
    assert len(orders) == LENGTH and not any(order.prefill for order in orders)
    assert orders[0].block is not None and all(order.valid_tokens == ROWS for order in orders)
