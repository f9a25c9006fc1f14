# SPDX-License-Identifier: Apache-2.0
"""`python3 -m thermoe.eval_engine`: its figures against `thermoe eval`'s and against their definitions, and what it does
with bad input, an interrupt and a harness."""
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest
import torch
from decode_windows import first_decode_batch

import thermoe
from thermoe.eval_engine import __main__ as command
from thermoe.eval_engine import text, transformers_engine
from thermoe.eval_engine.bad_input import BadInput
from thermoe.eval_engine.figures import PlanFigures, WindowSums
from thermoe.eval_engine.out_file import OutFile
from thermoe.eval_engine.plans import PricedPlan
from thermoe.eval_engine.progress import Progress
from thermoe.eval_engine.score_command import ScoreError, read_score

pytest.importorskip("transformers")
import small_models  # noqa: E402
from small_models import EXPERTS, K, LAYERS, make  # noqa: E402

LENGTH, PRICE = 12, 0.6


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def shipped(source_dir):
    return str(source_dir / "model" / "thermoe-e128.safetensors")


def compared(model, batches, plans, prompt=0):
    figures = [PlanFigures(None), *(PlanFigures(plan.price, plan.k_min) for plan in plans)]
    transformers_engine.compare(model, batches, plans, figures, Progress(), prompt=prompt)
    return [figure.to_json(figures[0]) for figure in figures]


def batch_of(ids, first=1):
    return text.Batch(ids.tolist(), [[False] * first + [True] * (ids.shape[1] - first)] * len(ids))


def loud(name):
    """A small model whose experts change what it says."""
    model = make(name)
    with torch.no_grad():
        for parameter in (p for n, p in model.named_parameters() if ".experts." in n or n == "lm_head.weight"):
            parameter.mul_(20.0)
    return model


@torch.no_grad()
def decoded(model, ids, price, prompt=0):
    """Log probabilities of positions prompt + 1 and on, by thermoe.attach."""
    cache, logs = None, []
    if prompt:
        cache = model(input_ids=ids[:, :prompt], use_cache=True).past_key_values
    with thermoe.attach(model, plan=thermoe.RoutingPlan.priced(LAYERS, EXPERTS, K, price=price)):
        for position in range(prompt, ids.shape[1] - 1):
            out = model(input_ids=ids[:, position:position + 1], past_key_values=cache, use_cache=True)
            cache = out.past_key_values
            logs.append(out.logits[:, 0].log_softmax(-1))
    return torch.stack(logs, dim=1)


@pytest.mark.parametrize("prompt", [0, 4])
@pytest.mark.parametrize("name", ["Qwen3Moe", "DeepseekV3", "GptOss"])
def test_figures_are_what_they_are_called(name, prompt):
    model, ids = loud(name), torch.randint(3, small_models.VOCAB, (6, LENGTH), generator=torch.Generator().manual_seed(3))
    own, priced = compared(model, [batch_of(ids, prompt + 1)], [PricedPlan(PRICE)], prompt)
    p, q = decoded(model, ids, 0.0, prompt), decoded(model, ids, PRICE, prompt)
    target = ids[:, prompt + 1:, None]
    assert own["tokens"] == priced["tokens"] == target.numel()
    assert own["perplexity"] == pytest.approx(math.exp(-p.gather(2, target).mean()), rel=1e-5)
    assert priced["perplexity"] == pytest.approx(math.exp(-q.gather(2, target).mean()), rel=1e-5)
    assert priced["loss_nats"] == pytest.approx(float((p - q).gather(2, target).mean()), abs=1e-5)
    assert priced["kl_nats"] == pytest.approx(float((p.exp() * (p - q)).sum(-1).mean()), rel=1e-3)
    assert priced["top1_agreement"] == pytest.approx(float((p.argmax(-1) == q.argmax(-1)).float().mean()))
    assert priced["kl_nats"] > 1e-3
    assert K <= priced["active_experts"] < own["active_experts"] <= 6 * K and own["experts_per_token"] == K


def test_a_price_of_nothing_costs_nothing():
    ids = torch.randint(3, small_models.VOCAB, (4, LENGTH))
    own, free = compared(make("Mixtral"), [batch_of(ids)], [PricedPlan(0.0)])
    assert free["perplexity"] == pytest.approx(own["perplexity"], rel=1e-6) and free["top1_agreement"] == 1.0
    assert free["kl_nats"] == pytest.approx(0.0, abs=1e-6) and free["active_experts"] == own["active_experts"]


def test_the_shipped_models_figures_are_thermoe_evals(shipped, thermoe_program, source_dir, tmp_path):
    rows, length = 16, 65
    out = tmp_path / "eval.json"
    subprocess.run([thermoe_program, "eval", "--model", shipped, "--no-domains", "--batches", "1", "--rows", str(rows), "--length",
                    str(length), "--policy", "pricing", "--cut", "60", "--out", out], cwd=source_dir, check=True,
                   capture_output=True, timeout=250)
    baseline, priced = json.loads(out.read_text())["routing"]["policies"]
    windows = first_decode_batch(source_dir, rows, length)
    batch = text.Batch([data for data, _, _ in windows],
                       [[first <= position < last for position in range(length)] for _, first, last in windows])
    own, ours = compared(transformers_engine.load(shipped, "cpu", {}), [batch], [PricedPlan(priced["knob"])])
    assert own["nats_per_token"] / math.log(2) == pytest.approx(baseline["bits_per_byte"], abs=1e-4)
    assert ours["nats_per_token"] / math.log(2) == pytest.approx(priced["bits_per_byte"], abs=1e-3)
    assert ours["loss_nats"] > 2e-3
    assert own["active_experts"] == pytest.approx(baseline["mean_active"], rel=0.01)
    assert ours["active_experts"] == pytest.approx(priced["mean_active"], rel=0.01)


def test_windows_are_whole_apart_and_counted_from_the_prompts_end():
    batches = text.cut(range(1000), [-1], text.Windows(context=11, prompt=3, rows=4, most_tokens=50))
    assert len(batches) == 2  # 7 tokens of each of 4 windows are scored: 28, so that 50 need two
    rows = [row for batch in batches for row in batch.ids]
    assert all(row[0] == -1 and row[1:] == list(range(row[1], row[1] + 10)) for row in rows)
    starts = sorted(row[1] for row in rows)
    assert starts[0] == 0 and starts[-1] >= 800 and min(b - a for a, b in zip(starts, starts[1:])) >= 110
    assert all(min(abs(a[1] - b[1]) for b in batch.ids if b is not a) > 200 for batch in batches for a in batch.ids)
    assert batches[0].counted[0] == [False] * 4 + [True] * 7


def test_the_interval_is_that_of_windows_as_independent_draws():
    generator = torch.Generator().manual_seed(2)
    losses = 0.1 + 0.05 * torch.randn(400, generator=generator)
    own = PlanFigures(None, windows=[WindowSums(10, 20.0) for _ in losses])
    low, high = PlanFigures(0.1, 1, [WindowSums(10, 20.0 + 10 * float(loss)) for loss in losses]).to_json(own)["loss_nats_95"]
    assert (high - low) / 2 == pytest.approx(1.96 * 0.05 / 20, rel=0.1) and low < 0.1 < high
    assert PlanFigures(0.1, 1, [WindowSums(1, 1.0)] * 7).to_json(own)["loss_nats_95"] is None


def run(*arguments, environment=(), **more):
    return subprocess.run([sys.executable, "-m", "thermoe.eval_engine", *map(str, arguments)], timeout=250, text=True,
                          env={**os.environ, "OMP_NUM_THREADS": "1", **dict(environment)}, **{
                              "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more})


def test_the_command_tells_a_table_and_writes_all_figures(shipped, source_dir, tmp_path):
    settings, out = tmp_path / "plan.json", tmp_path / "out.json"
    settings.write_text('{"plan": {"price": 0.5, "k_min": 2}}')
    done = run("--model", shipped, "--text", source_dir / "data/text/heldout.bin", "--price", "0.1", "--settings", settings,
               "--context", "24", "--max-tokens", "300", "--out", out)
    assert done.returncode == 0, done.stderr
    told = json.loads(out.read_text())
    own, cheap, dear = told["plans"]
    assert told["complete"] and told["class"] == "MixtralForCausalLM" and told["kl_of"] == "whole distributions"
    assert (dear["price"], dear["k_min"]) == (0.5, 2) and own["tokens"] == 23 * 16
    assert own["perplexity"] < dear["perplexity"] and 0 < cheap["kl_nats"] < dear["kl_nats"]
    header, *lines = done.stdout.splitlines()
    assert header.split() == ["price", "perplexity", "loss,", "nats/token", "95", "%", "KL,", "nats", "same", "top-1", "D",
                              "experts", "a", "token"]
    assert [line.split("  ")[0] for line in lines] == ["unpriced", "0.1", "0.5, k_min 2"]
    assert f"{dear['perplexity']:.4f}" in lines[2] and list(tmp_path.iterdir()) in ([settings, out], [out, settings])


def test_json_alone_is_on_standard_output(shipped, source_dir):
    done = run("--model", shipped, "--text", source_dir / "data/text/heldout.bin", "--price", "0.1", "--context", "8",
               "--max-tokens", "1", "--json")
    assert len(json.loads(done.stdout)["plans"]) == 2 and "perplexity" in done.stderr


def test_output_that_cannot_be_shown_costs_no_figures(shipped, source_dir, tmp_path):
    asked = ["--model", shipped, "--text", source_dir / "data/text/heldout.bin", "--price", "0.1", "--context", "8", "--max-tokens",
             "1", "--out"]
    done = run(*asked, tmp_path / "ascii.json", environment={"PYTHONIOENCODING": "ascii"})  # the table has a dash
    assert done.returncode == 0 and "unpriced" in done.stdout and json.loads((tmp_path / "ascii.json").read_text())["complete"]
    read, write = os.pipe()
    os.close(read)
    done = run(*asked, tmp_path / "unread.json", stdout=write)
    os.close(write)
    assert done.returncode == 1 and done.stderr.endswith("error: [Errno 32] Broken pipe\n")
    assert json.loads((tmp_path / "unread.json").read_text())["plans"][1]["tokens"] > 0
    limited = ("import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (600, 600)); "
               "from thermoe.eval_engine.__main__ import main; sys.exit(main(sys.argv[1:]))")
    full = subprocess.run([sys.executable, "-c", limited, *map(str, asked), tmp_path / "full.json"], capture_output=True, text=True,
                          timeout=250)
    assert full.returncode == 1 and full.stderr.endswith("error: [Errno 27] File too large\n") and "unpriced" in full.stdout
    assert {file.name for file in tmp_path.iterdir()} == {"ascii.json", "unread.json"}


def test_a_link_is_followed_and_what_is_no_file_is_left_alone(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "file")
    OutFile(str(tmp_path / "link")).write("1")
    OutFile(str(tmp_path / "link")).write("2")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "file").read_text() == "2"
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BadInput, match="pipe: is no file; --json prints"):
        OutFile(str(tmp_path / "pipe"))


@pytest.mark.parametrize("arguments, said", [
    (["--text", "{text}", "--model", "{shipped}"], "--price or --settings"),
    (["--price", "1e39", "--text", "{text}", "--model", "{shipped}"], "--price 1e+39: expected a finite number"),
    (["--settings", "{endless}", "--text", "{text}", "--model", "{shipped}"], "endless.json: plan.price is inf: expected a finite"),
    (["--price", "1", "--text", "{text}", "--model", "{shipped}", "--engine-args", '{{"dtype": "float99"}}'],
     "no attribute 'float99'"),
    (["--price", "1", "--text", "{text}", "--model", "{torn}"], "--model {torn}: Error while deserializing header"),
    (["--price", "0.1"], "--text or --score: what is to be measured?"),
    (["--price", "-1", "--text", "{text}", "--model", "{shipped}"], "--price -1: expected a finite number of 0 or more"),
    (["--price", "nan", "--text", "{text}", "--model", "{shipped}"], "--price nan: expected"),
    (["--price", "0.1", "--text", "{text}"], "--model: whose text is scored?"),
    (["--price", "0.1", "--text", "{folder}/nowhere", "--model", "{shipped}"], "nowhere: No such file or directory"),
    (["--price", "0.1", "--text", "{folder}", "--model", "{shipped}"], "is no file"),
    (["--price", "0.1", "--text", "{text}", "--model", "{folder}/nowhere"], "--model {folder}/nowhere: "),
    (["--price", "0.1", "--text", "{text}", "--model", "{text}"], "--model {text}: "),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--context", "1"], "--context 1: expected 2 or more"),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--context", "20", "--prompt", "19"],
     "--context 20: leaves no token to score after 19 of the prompt; expected 21 or more"),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--context", "200"], "has 1000 tokens, that is 5 windows"),
    (["--price", "0.1", "--k-min", "9", "--text", "{text}", "--model", "{shipped}", "--context", "20"],
     "k_min 9: expected at most the 8 experts"),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--out", "{folder}/no/out.json"], "--out {folder}/no/out.json"),
    (["--settings", "{target}", "--text", "{text}", "--model", "{shipped}"], "target.json: asks for a target, under which prices"),
    (["--settings", "{plan}", "--price", "1", "--text", "{text}", "--model", "{shipped}"], "its denominator is 'picked'"),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--device", "cuda:77"], "--device cuda:77: "),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--score-key", "a"], "--score-key"),
    (["--price", "0.1", "--text", "{text}", "--model", "{shipped}", "--engine", "vllm", "--prompt", "3"], "--prompt 3: vLLM"),
])
def test_bad_input_is_refused_by_name_before_anything_is_written(arguments, said, shipped, tmp_path, capsys):
    places = {"text": tmp_path / "text.txt", "folder": tmp_path, "shipped": shipped, "target": tmp_path / "target.json",
              "plan": tmp_path / "plan.json", "endless": tmp_path / "endless.json", "torn": tmp_path / "torn"}
    places["text"].write_bytes(b"0123456789" * 100)
    places["endless"].write_text('{"plan": {"price": Infinity}}')
    make("Mixtral").config.save_pretrained(places["torn"])
    (places["torn"] / "model.safetensors").write_bytes(b"\0" * 500)
    asked = [*arguments, *([] if "{torn}" not in arguments else ["--tokenizer", "bytes"])]
    places["target"].write_text('{"power_w": 300}')
    places["plan"].write_text('{"plan": {"price": 1}, "denominator": "picked"}')
    out = tmp_path / "out.json"
    asked = [one.format(**places) for one in asked]
    assert command.main(["--out", str(out), *asked]) == 2
    captured = capsys.readouterr()
    assert captured.err.splitlines()[-1].startswith("error: ") or "\nerror: " in captured.err
    assert said.format(**places) in captured.err and captured.out == "" and not out.exists()


def test_arguments_that_are_no_object_are_refused_with_one_as_an_example(capsys):
    for wrong in ("[1]", "{", "dtype=float16"):
        with pytest.raises(SystemExit, match="2"):
            command.main(["--engine-args", wrong, "--price", "1"])
        assert f"--engine-args: {wrong}: expected a JSON object, as '{{\"dtype\": \"bfloat16\"}}'" in capsys.readouterr().err


def test_a_checkpoint_of_thermoe_train_has_the_type_that_is_asked_for(shipped):
    assert transformers_engine.load(shipped, "cpu", {"dtype": "bfloat16"}).dtype == torch.bfloat16


def test_a_model_that_says_nan_is_no_figure(tmp_path, capsys):
    model = make("Mixtral")
    with torch.no_grad():
        model.lm_head.weight[0].fill_(math.nan)
    model.save_pretrained(tmp_path / "nan")
    (tmp_path / "text").write_bytes(bytes(range(3, 13)) * 40)
    (tmp_path / "out").write_text("of an earlier run")
    assert command.main(["--model", str(tmp_path / "nan"), "--tokenizer", "bytes", "--text", str(tmp_path / "text"), "--price", "1",
                         "--context", "8", "--device", "cpu", "--out", str(tmp_path / "out")]) == 1
    told = capsys.readouterr()
    assert "error: the model gives log probabilities that are no finite numbers" in told.err and told.out == ""
    assert (tmp_path / "out").read_text() == "of an earlier run"


@pytest.mark.parametrize("moment", ["_check", "Evaluation.run"])
def test_an_interrupt_before_anything_is_scored_leaves_an_earlier_runs_figures(moment, shipped, source_dir, tmp_path, monkeypatch,
                                                                              capsys):
    def interrupted(*_):
        raise KeyboardInterrupt
    owner, _, name = moment.rpartition(".")
    monkeypatch.setattr(getattr(command, owner) if owner else command, name, interrupted)
    out = tmp_path / "out"
    out.write_text("of an earlier run")
    assert command.main(["--model", shipped, "--text", str(source_dir / "data/text/heldout.bin"), "--price", "1", "--out",
                         str(out)]) == 1
    told = capsys.readouterr()
    assert "error: interrupted: nothing was scored yet" in told.err and told.out == "" and out.read_text() == "of an earlier run"


def test_a_python_without_torch_says_what_to_install_and_scores_a_harness(source_dir, tmp_path):
    bare = ("import sys; sys.modules.update(torch=None, transformers=None, numpy=None); "
            "from thermoe.eval_engine.__main__ import main; sys.exit(main(sys.argv[1:]))")

    def without(*arguments):
        return subprocess.run([sys.executable, "-c", bare, "--price", "1", *arguments], capture_output=True, text=True, timeout=60)

    refused = without("--text", str(source_dir / "README.md"), "--model", "x")
    assert refused.returncode == 2 and "error: --text: needs torch: pip install" in refused.stderr
    assert without("--score", "echo 3").stdout.split() == ["price", "score", "unpriced", "3", "1", "3"]


def test_a_model_without_experts_is_refused_by_name(tmp_path, capsys):
    import transformers
    config = transformers.LlamaConfig(vocab_size=256, hidden_size=32, intermediate_size=48, num_hidden_layers=1,
                                      num_attention_heads=2)
    transformers.LlamaForCausalLM(config).save_pretrained(tmp_path / "dense")
    (tmp_path / "text").write_bytes(b"0123456789" * 100)
    asked = ["--model", str(tmp_path / "dense"), "--text", str(tmp_path / "text"), "--price", "0.1", "--context", "20"]
    assert command.main(asked) == 2
    assert "--tokenizer: " in capsys.readouterr().err
    assert command.main([*asked, "--tokenizer", "bytes"]) == 2
    assert "LlamaForCausalLM has no Mixture-of-Experts layer" in capsys.readouterr().err


def test_a_tokenizers_own_beginning_is_read_and_not_scored(tmp_path):
    tokenizers = pytest.importorskip("tokenizers")
    import transformers
    words = {"<s>": 0, "<unk>": 1, **{f"w{n}": n for n in range(2, 60)}}
    made = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    made.post_processor = tokenizers.processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    transformers.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", unk_token="<unk>").save_pretrained(tmp_path)
    tokenise, begin = transformers_engine.tokeniser(str(tmp_path), None)
    assert begin == [0] and tokenise(b"w5 w7 nothing") == [5, 7, 1]
    with pytest.raises(BadInput, match="no UTF-8 at byte 3"):
        tokenise(b"w5 \xff")


def test_an_interrupt_leaves_what_was_scored_readable(shipped, source_dir, tmp_path):
    out = tmp_path / "out.json"
    with subprocess.Popen([sys.executable, "-c", textwrap.dedent("""
            import sys
            from thermoe.eval_engine import __main__, progress
            progress._LINE_S = 0.0
            sys.exit(__main__.main(sys.argv[1:]))"""), "--model", shipped, "--text", str(source_dir / "data/text/heldout.bin"),
            "--price", "0.1", "--out", str(out)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"}) as running:
        for line in running.stderr:
            if line.startswith("batch 1 of"):
                break
        time.sleep(0.3)
        running.send_signal(signal.SIGINT)
        stdout, stderr = running.communicate(timeout=60)
    assert running.returncode == 1 and "error: interrupted" in stderr
    told = json.loads(out.read_text())
    own, priced = told["plans"]
    assert told["complete"] is False and own["tokens"] == priced["tokens"] > 0 and own["tokens"] % 16 == 0
    assert f"{priced['perplexity']:.4f}" in stdout


HARNESS = """{python} -c "
import json, os
path = os.environ.get('THERMOE_CONFIG')
print('a task harness works')
print(json.dumps({{'results': {{'arc': {{'acc': 1 - (json.load(open(path))['plan']['price'] if path else 0)}}}}}}))
" """


def test_a_harness_is_scored_under_each_plan_and_without(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("THERMOE_CONFIG", "/of/another")
    out = tmp_path / "out.json"
    assert command.main(["--score", HARNESS.format(python=sys.executable), "--score-key", "results.arc.acc", "--price", "0.25",
                         "--out", str(out)]) == 0
    plans = json.loads(out.read_text())["plans"]
    assert [plan["score"] for plan in plans] == [1.0, 0.75] and "perplexity" not in plans[1]
    captured = capsys.readouterr()
    assert captured.out.split() == ["price", "score", "unpriced", "1", "0.25", "0.75"]
    assert "a task harness works" in captured.err


def test_a_harness_that_fails_ends_the_run_with_what_was_scored(tmp_path, capsys):
    out = tmp_path / "out.json"
    assert command.main(["--score", 'test -z "$THERMOE_CONFIG" && echo 0.5', "--price", "1", "--out", str(out)]) == 1
    told = json.loads(out.read_text())
    assert told["complete"] is False and [plan.get("score") for plan in told["plans"]] == [0.5, None]
    assert "error: --score: the command ended with 1" in capsys.readouterr().err


@pytest.mark.parametrize("line, key", [("done", None), ("", None), ("{\"acc\": 1}", None), ("nan", None), ("NaN", None),
                                       ("true", None),
                                       ("1" + "0" * 400, None), ("{\"acc\": \"1\"}", "acc"), ("{\"acc\": 1}", "f1"), ("3", "acc")])
def test_a_line_that_is_no_score_is_refused(line, key):
    with pytest.raises(ScoreError, match="--score: .*expected"):
        read_score(line, key)


def test_a_program_may_attach_and_detach_around_inference_mode():
    model, ids = make("Mixtral"), torch.randint(3, small_models.VOCAB, (2, 1))
    attachment = thermoe.attach(model, plan=thermoe.RoutingPlan.priced(LAYERS, EXPERTS, K, price=0.5))
    with torch.inference_mode():
        model(input_ids=ids)
    with torch.no_grad():
        model(input_ids=ids)
    attachment.detach()


def test_the_program_runs_it(thermoe_program, shipped, source_dir, tmp_path):
    def program(*arguments, **environment):
        return subprocess.run([thermoe_program, "eval-engine", *map(str, arguments)], capture_output=True, text=True, timeout=250,
                              env={**os.environ, "THERMOE_PYTHON": sys.executable, "OMP_NUM_THREADS": "1", **environment})

    told = program("--help")
    assert told.returncode == 0 and told.stdout.startswith("usage: thermoe eval-engine [-h]")
    done = program("--model", shipped, "--text", source_dir / "data/text/heldout.bin", "--price", "0.1", "--context", "8",
                   "--max-tokens", "1")
    assert done.returncode == 0 and done.stdout.startswith("price ")
    bare = program("--help", THERMOE_PYTHON=f"{tmp_path}/python")
    (tmp_path / "python").write_text(f"#!/bin/sh\nPYTHONPATH= exec {sys.executable} \"$@\"\n")
    (tmp_path / "python").chmod(0o755)
    assert bare.returncode == 2 and f"{tmp_path}/python: " in bare.stderr and "THERMOE_PYTHON names" in bare.stderr
    bare = program("--help", THERMOE_PYTHON=f"{tmp_path}/python")
    assert bare.returncode == 2 and "has no package thermoe" in bare.stderr
