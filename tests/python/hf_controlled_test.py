# SPDX-License-Identifier: Apache-2.0
"""thermoe.attach under a controller: the shipped checkpoint as a Mixtral, on a simulated GPU whose time the test tells."""
import pytest
import small_models
import torch

import thermoe
from thermoe.hf.configuration import controller_configuration
from thermoe.hf.convert import convert_checkpoint
from thermoe.hf.routers import find_routers


@pytest.fixture(scope="module")
def model(source_dir):
    torch.set_num_threads(1)
    model = convert_checkpoint(source_dir / "model" / "thermoe-e128.safetensors")
    model.set_experts_implementation("grouped_mm")
    return model


@pytest.fixture
def simulated(source_dir):
    data = source_dir / "data" / "h100"
    return dict(costed_as="Qwen3-30B-A3B", cost_model=data / "kernel_cost_model.json",
                config=dict(telemetry=dict(source="simulated", plant=str(data / "plant.json"),
                                           cost_model=str(data / "plant_cost_model.json")), control=dict(thread=False)))


def ids(source_dir, rows=16, length=80):
    text = (source_dir / "data" / "text" / "heldout.bin").read_bytes()
    return torch.tensor([list(text[5000 * row:5000 * row + length]) for row in range(rows)])


@torch.no_grad()
def decode(attachment, model, tokens, step_s=0.02):
    """Steps take `step_s` whatever this machine needs for them: the controller's time is the test's."""
    observe = attachment.source.observe
    attachment.source.observe = lambda **step: observe(**{**step, "step_time_s": step_s / 2, "step_period_s": step_s})
    cache = None
    for position in range(tokens.shape[1]):
        cache = model(input_ids=tokens[:, position:position + 1], past_key_values=cache, use_cache=True).past_key_values
        attachment.source.advance(step_s * (position + 1))


def test_a_target_below_what_a_model_draws_brings_prices_and_detaching_takes_them_away(model, simulated, source_dir):
    tokens = ids(source_dir)
    with torch.no_grad():
        before = model(tokens[:, :8]).logits
    with thermoe.attach(model, power_w=250, pace=False, **simulated) as attachment:
        assert "no gate logits" in attachment.controller.state().reason
        decode(attachment, model, tokens)
        state = attachment.controller.state()
        assert state.steps == tokens.shape[1] and state.tokens == tokens.numel() and state.skipped == 0
        assert state.simulated and state.plan_kind == "strategy" and state.price > 0
        assert state.active_experts < 74 and 0 < state.quality_loss < 1  # of 74 that the model itself activates
        assert max(attachment.plan.activation_price[0]) > 0
    assert not attachment.attached and isinstance(attachment.controller, thermoe.Controller)
    assert repr(attachment.source) == "Controller(closed)"
    with torch.no_grad():
        assert torch.equal(model(tokens[:, :8]).logits, before)


def test_a_target_that_costs_nothing_leaves_the_models_own_numbers(model, simulated, source_dir):
    tokens = ids(source_dir, length=20)
    plain = small_models.decode(model, tokens)
    with thermoe.attach(model, power_w=2000, pace=False, **simulated) as attachment:
        cache, logits = None, []
        with torch.no_grad():
            for position in range(tokens.shape[1]):
                out = model(input_ids=tokens[:, position:position + 1], past_key_values=cache, use_cache=True)
                cache = out.past_key_values
                logits.append(out.logits[:, 0])
                attachment.source.advance(0.1 * (position + 1))
        assert attachment.controller.state().plan_kind == "strategy"
    assert torch.equal(torch.stack(logits, dim=1), plain)


def test_steps_that_need_not_follow_at_once_wait_for_their_period(model, simulated, source_dir):
    with thermoe.attach(model, power_w=250, step_period_ms=60, **simulated) as attachment:
        told, observe = [], attachment.source.observe
        attachment.source.observe = lambda **step: (told.append(step["step_period_s"]), observe(**step))
        small_models.decode(model, ids(source_dir, length=12))
        assert attachment.controller.acquire().step_period_s == pytest.approx(0.06)
    assert min(told[1:]) >= 0.06


def test_a_model_is_told_to_the_controller_as_its_router_is(source_dir):
    model = small_models.make("DeepseekV3")
    routers = find_routers(model)
    asked = dict(power_w=350.0, temperature_c=None, time_per_token_ms=30.0, max_quality_loss=0.1)
    made = controller_configuration(model, routers, routers[0].spec, **asked, batch_limit=32, step_period_ms=None,
                                    objective="throughput", cost_model="costs.json", costed_as=None, config={"dtype": "fp8"})
    assert made["model"].pop("selection_bias") == [router.beta.tolist() for router in routers]
    assert made["model"] == {"layers": 2, "experts": 16, "k": 4, "score_function": "sigmoid", "groups": 4, "groups_kept": 2,
                             "denominator": "picked", "routed_scale": 2.5, "loss_scores": "unbiased"}
    assert made["costed_as"] == {"name": "DeepseekV3ForCausalLM", "layers": 2, "gated": True, "shape": [16, 4, 32, 16]}
    assert made["targets"] == {"power_w": 350.0, "time_between_tokens_ms": 30.0} and made["objective"] == "throughput"
    assert made["control"] == {"max_quality_loss": 0.1} and made["engine"] == {"batch_limit": 32}
    paced = controller_configuration(model, routers, routers[0].spec, **asked, batch_limit=32, step_period_ms=20.0,
                                     objective=None, cost_model="costs.json", costed_as=None, config={"engine": {"name": "x"}})
    assert paced["targets"] == {"power_w": 350.0, "step_ms": 30.0} and paced["engine"] == {"name": "x"}
    assert paced["control"] == {"max_quality_loss": 0.1, "step_period_s": 0.02}
    assert made["dtype"] == "fp8"


@pytest.mark.parametrize("asked", [{}, {"step_period_ms": 20}, {"objective": "throughput"}], ids=str)
def test_a_time_between_tokens_is_a_target_that_the_controller_knows(model, simulated, asked):
    with thermoe.attach(model, time_per_token_ms=30, **asked, **simulated) as attachment:
        assert attachment.controller.state().plan_kind == "baseline"


def test_costs_that_are_of_another_router_are_refused(simulated):
    with pytest.raises(thermoe.BadInputError, match="128 experts, 8 a token, but the model has 16, 4"):
        thermoe.attach(small_models.make("Mixtral"), power_w=350, **simulated)


def test_a_cost_model_that_does_not_know_the_models_shape_is_refused_by_the_shape(simulated):
    simulated["costed_as"] = None
    with pytest.raises(thermoe.BadInputError, match="16, 4, 32, 16"):
        thermoe.attach(small_models.make("Mixtral"), power_w=350, **simulated)


def test_a_failed_attach_leaves_no_hook(simulated):
    model = small_models.make("Mixtral")
    with pytest.raises(thermoe.BadInputError):
        thermoe.attach(model, power_w=-1, **simulated)
    assert not any(module._forward_hooks for module in model.modules())


def test_nothing_asked_for_is_refused():
    with pytest.raises(ValueError, match="nothing is asked for: give one of power_w"):
        thermoe.attach(small_models.make("Mixtral"))
