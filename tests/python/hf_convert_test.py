# SPDX-License-Identifier: Apache-2.0
"""The shipped checkpoint as a Mixtral of transformers: the same bits a byte as our decoder's, priced and unpriced."""
import json
import math
import subprocess

import pytest
import torch
import transformers
from decode_windows import first_decode_batch
from safetensors.torch import save_file

import thermoe
from thermoe.hf.convert import CheckpointError, convert_checkpoint, main

ROWS, LENGTH, CUT = 16, 65, 60


@pytest.fixture(scope="module")
def checkpoint(source_dir):
    return source_dir / "model" / "thermoe-e128.safetensors"


@pytest.fixture(scope="module")
def model(checkpoint):
    torch.set_num_threads(1)
    model = convert_checkpoint(checkpoint)
    model.set_experts_implementation("grouped_mm")
    return model


@pytest.fixture(scope="module")
def ours(checkpoint, thermoe_program, source_dir, tmp_path_factory):
    """What `thermoe eval` says of one decode batch: baseline, and pricing at a cut of D."""
    out = tmp_path_factory.mktemp("eval") / "eval.json"
    subprocess.run([thermoe_program, "eval", "--model", checkpoint, "--no-domains", "--batches", "1", "--rows", str(ROWS),
                    "--length", str(LENGTH), "--policy", "pricing", "--cut", str(CUT), "--out", out],
                   cwd=source_dir, check=True, capture_output=True, timeout=250)
    baseline, priced = json.loads(out.read_text())["routing"]["policies"]
    return {"baseline": baseline, "priced": priced}


@torch.no_grad()
def bits_per_byte(model, batch):
    """Decoded a byte a step, all rows together: a decode batch is what is priced together."""
    ids = torch.tensor([data for data, _, _ in batch])
    cache, bits = None, []
    for position in range(LENGTH - 1):
        out = model(input_ids=ids[:, position:position + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        nats = torch.nn.functional.cross_entropy(out.logits[:, 0].float(), ids[:, position + 1], reduction="none")
        bits.append(nats / math.log(2))
    by_row = torch.stack(bits, dim=1)
    counted = torch.cat([row[first - 1:last - 1] for row, (_, first, last) in zip(by_row, batch)])
    return counted.mean().item()


def test_bits_a_byte_are_our_decoders(model, ours, source_dir):
    batch = first_decode_batch(source_dir, ROWS, LENGTH)
    assert bits_per_byte(model, batch) == pytest.approx(ours["baseline"]["bits_per_byte"], abs=1e-4)


def test_bits_a_byte_under_prices_are_our_decoders(model, ours, source_dir):
    batch, price = first_decode_batch(source_dir, ROWS, LENGTH), ours["priced"]["knob"]
    with thermoe.attach(model, plan=thermoe.RoutingPlan.priced(4, 128, 8, price=price)):
        priced = bits_per_byte(model, batch)
    assert priced == pytest.approx(ours["priced"]["bits_per_byte"], abs=1e-3)
    assert priced > ours["baseline"]["bits_per_byte"] + 3e-3  # the prices do something that the comparison would show


def test_what_is_dropped_is_missing_or_made_up_for(model, ours, source_dir):
    batch, price = first_decode_batch(source_dir, ROWS, LENGTH), ours["priced"]["knob"]
    plan = thermoe.RoutingPlan.priced(4, 128, 8, price=price)
    with thermoe.attach(model, plan=plan, denominator="picked"):
        assert abs(bits_per_byte(model, batch) - ours["priced"]["bits_per_byte"]) > 1e-4


def test_the_converted_model_is_one_that_transformers_loads(checkpoint, tmp_path, capsys):
    assert main([str(checkpoint), str(tmp_path / "e128"), "--dtype", "bfloat16"]) == 0
    assert "MixtralForCausalLM of 10,225,344 parameters" in capsys.readouterr().out
    loaded = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "e128")
    assert loaded.dtype == torch.bfloat16
    prompt = torch.tensor([list(b"The licence of this program is the GNU General Pub")])
    out = loaded.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=3, do_sample=False)
    assert bytes(out[0, prompt.shape[1]:].tolist()) == b"lic"


def test_a_file_that_is_no_checkpoint_is_refused_by_name(tmp_path, checkpoint, capsys):
    nowhere, text, other = tmp_path / "nowhere.safetensors", tmp_path / "text.safetensors", tmp_path / "other.safetensors"
    text.write_text("no tensors at all")
    save_file({"x": torch.zeros(1)}, other)
    with pytest.raises(CheckpointError, match=r"nowhere.safetensors: no such file$"):
        convert_checkpoint(nowhere)
    with pytest.raises(CheckpointError, match=text.name):
        convert_checkpoint(text)
    with pytest.raises(CheckpointError, match=r"other.safetensors: __metadata__/thermoe_config is missing"):
        convert_checkpoint(other)
    assert main([str(other), str(tmp_path / "out")]) == 2
    assert "error: " in capsys.readouterr().err


def test_a_checkpoint_whose_tensors_are_not_its_configurations_is_refused(tmp_path, checkpoint):
    from safetensors import safe_open
    with safe_open(checkpoint, "pt") as file:
        metadata, tensors = file.metadata(), {name: file.get_tensor(name) for name in file.keys()}
    path = tmp_path / "broken.safetensors"
    config = json.loads(metadata["thermoe_config"])

    def saved(tensors, **changes):
        save_file(tensors, path, {"thermoe_config": json.dumps({**config, **changes})})
        return path

    with pytest.raises(CheckpointError, match="size mismatch"):
        convert_checkpoint(saved(tensors, d_ff=16))
    with pytest.raises(CheckpointError, match="tensor layers.4.attn.qkv.weight is missing"):
        convert_checkpoint(saved(tensors, layers=5))
    with pytest.raises(CheckpointError, match="does not have: spare.weight"):
        convert_checkpoint(saved({**tensors, "spare.weight": torch.zeros(1)}))
    with pytest.raises(CheckpointError, match="thermoe_config/heads is 'six', not a number"):
        convert_checkpoint(saved(tensors, heads="six"))
