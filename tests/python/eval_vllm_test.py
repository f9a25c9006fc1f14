# SPDX-License-Identifier: Apache-2.0
"""eval-engine through vLLM: its processes and figures with a vLLM that is played; vllm_eval_test.py has the real one's
scheduler."""
import json
import math
import os
import re
import subprocess
import sys

import pytest
import torch

from thermoe.eval_engine.vllm_engine import partial_kl

pytest.importorskip("transformers")

PLAYED = '''
"""Of a vLLM what eval-engine calls: its distributions are tilted by the price of THERMOE_CONFIG's plan."""
import json, math, os
__version__ = "0.25.1"
VOCABULARY = 300

class SamplingParams:
    def __init__(self, *, max_tokens, temperature, prompt_logprobs, detokenize):
        self.top = prompt_logprobs

class Entry:
    def __init__(self, logprob):
        self.logprob = logprob

def distribution(token, price):
    scores = [math.cos(0.7 * n * (token + 1)) + price * math.sin(n) for n in range(VOCABULARY)]
    total = math.log(sum(map(math.exp, scores)))
    return [score - total for score in scores]

class LLM:
    def __init__(self, model, *, skip_tokenizer_init, max_model_len, max_num_seqs, max_logprobs, long_prefill_token_threshold,
                 enable_prefix_caching, **more):
        if more != {"tensor_parallel_size": 2} or long_prefill_token_threshold != 1 or enable_prefix_caching:
            raise SystemExit(f"{more}")
        self.limits = max_model_len, max_num_seqs
        path = os.environ.get("THERMOE_CONFIG")
        self.price = json.load(open(path))["plan"]["price"] if path else 0.0
        if self.price > 5:
            raise SystemExit("the plug-in refuses")
        print("words of vLLM's")

    def generate(self, prompts, how, use_tqdm):
        assert len(prompts) <= self.limits[1]
        for prompt in prompts:
            ids = prompt["prompt_token_ids"]
            assert len(ids) < self.limits[0]
            told = [None]
            for before, token in zip(ids, ids[1:]):
                logs = distribution(before, self.price)
                best = sorted(range(VOCABULARY), key=logs.__getitem__)[-how.top:]
                told.append({n: Entry(math.nan if os.environ.get("NAN") else logs[n]) for n in {*best, token}})
            yield type("Output", (), {"prompt_logprobs": told})
'''


@pytest.fixture
def run(tmp_path, source_dir):
    """The command, in a Python with the played vLLM and thermoe's entry points."""
    folder = tmp_path / "packages"
    project = (source_dir / "python/pyproject.toml").read_text()
    entry = re.search(r'entry-points\."(vllm\.general_plugins)"\]\n(\w+) = "(.*)"', project)
    for name in ("thermoe", "vllm"):
        metadata = folder / f"{name}-0.25.1.dist-info"
        metadata.mkdir(parents=True)
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.25.1\n")
    (folder / "thermoe-0.25.1.dist-info" / "entry_points.txt").write_text(f"[{entry[1]}]\n{entry[2]} = {entry[3]}\n")
    (folder / "vllm").mkdir()
    (folder / "vllm" / "__init__.py").write_text(PLAYED)
    (tmp_path / "text").write_bytes(bytes(range(256)) * 8)

    def start(*arguments, without=(), **environment):
        for name in without:
            (folder / f"{name}-0.25.1.dist-info" / "METADATA").unlink()
            (folder / f"{name}-0.25.1.dist-info").rename(tmp_path / name)
        return subprocess.run(
            [sys.executable, "-m", "thermoe.eval_engine", "--engine", "vllm", "--model", "anything", "--tokenizer", "bytes",
             "--text", str(tmp_path / "text"), "--engine-args", '{"tensor_parallel_size": 2}', *map(str, arguments)],
            capture_output=True, text=True, timeout=250,
            env={**os.environ, "PYTHONPATH": f"{folder}:{os.environ.get('PYTHONPATH', '')}", **environment})
    return start


def exact(price):
    """Of the played model: mean nats, KL and agreement of the text's windows."""
    namespace = {}
    exec(PLAYED, namespace)
    distribution = namespace["distribution"]
    nats, kl, agree = [], [], []
    for begin in range(0, 2048 // 16 * 16, 16):
        ids = [n % 256 for n in range(begin, begin + 16)]
        for before, token in zip(ids, ids[1:]):
            p, q = (torch.tensor(distribution(before, tilt), dtype=torch.float64) for tilt in (0.0, price))
            nats.append(-float(q[token]))
            kl.append(float((p.exp() * (p - q)).sum()))
            agree.append(float(p.argmax() == q.argmax()))
    return [sum(values) / len(values) for values in (nats, kl, agree)]


def test_each_plan_has_an_engine_of_its_own_and_the_first_none(run):
    done = run("--price", "0.5", "--context", "16", "--batch", "8", "--top", "300", "--json", THERMOE_CONFIG="/of/another")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    own, priced = told["plans"]
    nats, kl, agree = exact(0.5)
    assert own["nats_per_token"] == pytest.approx(exact(0.0)[0], rel=1e-6)
    assert priced["nats_per_token"] == pytest.approx(nats, rel=1e-6) and priced["tokens"] == 15 * 128
    assert priced["kl_nats"] == pytest.approx(kl, rel=1e-3) and priced["top1_agreement"] == pytest.approx(agree)
    assert "active_experts" not in priced and "the 300 likeliest" in told["kl_of"] and "words of vLLM's" in done.stderr


def test_the_likeliest_tokens_alone_bound_kl_from_below(run):
    done = run("--price", "0.5", "--context", "16", "--batch", "8", "--top", "20", "--json")
    kl = json.loads(done.stdout)["plans"][1]["kl_nats"]
    assert 0 < kl < exact(0.5)[1]


def test_a_part_of_a_distribution_never_says_more_than_the_whole():
    generator = torch.Generator().manual_seed(4)
    for _ in range(50):
        p, q = (torch.randn(40, generator=generator).mul(2).log_softmax(-1).double() for _ in range(2))
        whole = float((p.exp() * (p - q)).sum())
        for top in (1, 5, 20, 40):
            tops = [{int(n): float(logs[n]) for n in logs.topk(top).indices} for logs in (p, q)]
            assert -1e-9 <= partial_kl(*tops) <= whole + 1e-6
        assert partial_kl(*tops) == pytest.approx(whole, abs=1e-5)


def test_a_vllm_that_would_serve_without_prices_is_refused(run):
    told = run("--price", "1", VLLM_PLUGINS="lora")
    assert told.returncode == 2 and "VLLM_PLUGINS=lora: vLLM would load no plug-in of thermoe's" in told.stderr
    told = run("--price", "1", without=["thermoe"])
    assert told.returncode == 2 and "thermoe is not installed as a plug-in of vLLM's" in told.stderr
    told = run("--price", "1", without=["vllm"])
    assert told.returncode == 2 and "vLLM is not installed for this Python" in told.stderr


@pytest.mark.parametrize("arguments, said", [
    (["--engine-args", '{"max_num_seqs": 2}'], "--engine-args: max_num_seqs is 2: "),
    (["--engine-args", '{"long_prefill_token_threshold": 0}'], "--engine-args: long_prefill_token_threshold is 0: "),
    (["--model", "a.safetensors"], "--model a.safetensors: vLLM loads a folder; python3 -m thermoe.hf.convert"),
])
def test_what_would_be_measured_as_something_else_is_refused(run, arguments, said):
    told = run("--price", "1", *arguments)
    assert told.returncode == 2 and f"error: {said}" in told.stderr


def test_an_engine_that_says_nan_is_no_figure(run):
    done = run("--price", "0.5", "--context", "16", "--batch", "8", "--json", NAN="1")
    assert done.returncode == 1 and "error: the model gives log probabilities that are no finite numbers" in done.stderr
    assert done.stdout == ""


def test_an_engine_that_fails_ends_the_run_with_what_there_is(run, tmp_path):
    out = tmp_path / "out.json"
    done = run("--price", "0.5", "9", "--context", "16", "--batch", "8", "--out", out)
    assert done.returncode == 1 and "the plug-in refuses" in done.stderr and "error: vLLM ended with 1 under a plan" in done.stderr
    told = json.loads(out.read_text())
    assert told["complete"] is False and [plan["tokens"] for plan in told["plans"]] == [1920, 1920, 0]
    assert math.isfinite(told["plans"][1]["perplexity"])
