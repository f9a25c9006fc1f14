# SPDX-License-Identifier: Apache-2.0
"""thermoe.CostModel: what `thermoe cost at` says, from Python."""
import json
import subprocess

import pytest

import thermoe


@pytest.fixture(scope="module")
def path(source_dir):
    return str(source_dir / "data" / "h100" / "kernel_cost_model.json")


@pytest.fixture(scope="module")
def model(path):
    return thermoe.CostModel(path)


def test_a_cost_model_says_whose_costs_it_has(model):
    assert "H100" in model.device and model.idle_active_w > model.idle_cold_w > 0
    assert thermoe.ExpertShape("Qwen3-30B-A3B", 48, (128, 8, 2048, 768)) in model.models
    assert ("moe_experts", (128, 8, 2048, 768), "bf16") in [(t.op, t.shape, t.dtype) for t in model.tables]
    assert "Qwen3-30B-A3B" in repr(model)


@pytest.mark.parametrize("tokens, active", [(16, 48.8), (16, 82), (20, 50), (700, 128)])
def test_a_layers_cost_is_the_command_lines(model, path, thermoe_program, tokens, active):
    point = f"moe_experts [128, 8, 2048, 768] bf16 tokens {tokens} active {active}"
    told = subprocess.run([thermoe_program, "cost", "at", path, point, "--json"], capture_output=True, text=True,
                          check=True, timeout=60).stdout
    row, = json.loads(told)
    cost = model.layer("Qwen3-30B-A3B", tokens=tokens, active=active)
    assert cost.latency_s == pytest.approx(1e-6 * row["latency_us"], rel=1e-9)
    assert cost.energy_j == pytest.approx(1e-6 * row["energy_uj"], rel=1e-9)
    assert cost.basis == row["basis"]


def test_a_layer_may_be_named_by_its_shape(model):
    named = model.layer("Qwen3-30B-A3B", tokens=16, active=64)
    assert model.layer((128, 8, 2048, 768), tokens=16, active=64) == named
    assert model.layer(model.models[0], tokens=16, active=64) == named
    assert model.layer("Qwen3-30B-A3B", tokens=4) == model.layer("Qwen3-30B-A3B", tokens=4, active=32)  # at most
    assert model.layer("Qwen3-30B-A3B", tokens=16, active=32).energy_j < named.energy_j


def test_what_a_cost_model_does_not_have_is_refused_by_name(model, tmp_path):
    with pytest.raises(thermoe.BadInputError, match="names no model \"Qwen3\"; it names Qwen3-30B-A3B"):
        model.layer("Qwen3", tokens=16)
    with pytest.raises(thermoe.BadInputError, match="128, 8, 2048, 769"):
        model.layer((128, 8, 2048, 769), tokens=16, active=3)
    with pytest.raises(thermoe.BadInputError, match="a shape of 3 numbers"):
        model.layer((128, 8, 2048), tokens=16)
    with pytest.raises(thermoe.BadInputError, match="nowhere.json"):
        thermoe.CostModel(tmp_path / "nowhere.json")
    broken = tmp_path / "broken.json"
    broken.write_text("{\"schema\": 99}")
    with pytest.raises(thermoe.BadInputError, match="broken.json.*schema"):
        thermoe.CostModel(broken)


def test_a_closed_cost_model_says_so(path):
    with thermoe.CostModel(path) as model:
        pass
    model.close()
    with pytest.raises(thermoe.BadInputError, match="closed"):
        model.layer("Qwen3-30B-A3B", tokens=16)
