# SPDX-License-Identifier: Apache-2.0
"""thermoe.attach on small models of transformers' classes: what it changes, leaves alone, refuses and takes back."""
import gc
import weakref

import pytest
import small_models
import torch
from small_models import EXPERTS, K, LAYERS, decode, make, tokens

import thermoe
import thermoe.hf

ALL = sorted(small_models.CONFIGS)


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)  # small products: more threads only wait for each other


def priced(price=0.6, k_min=1):
    return thermoe.RoutingPlan.priced(LAYERS, EXPERTS, K, price=price, k_min=k_min)


class Experts:
    """Records what the experts of a model are given."""

    def __init__(self, model):
        self.calls = []
        self.handles = [module.register_forward_pre_hook(self.record, with_kwargs=True) for module in model.modules()
                        if type(module).__name__.endswith("Experts")]

    def record(self, module, arguments, keywords):
        given = [value for value in (*arguments, *keywords.values()) if isinstance(value, torch.Tensor)]
        indices = next(value for value in given if not value.is_floating_point())
        weights = next(value for value in given if value.is_floating_point() and value.shape == indices.shape)
        self.calls.append((indices.clone(), weights.clone()))

    def remove(self):
        for handle in self.handles:
            handle.remove()


@pytest.mark.parametrize("name", ALL)
def test_a_plan_that_changes_nothing_leaves_a_model_its_own_numbers_bit_for_bit(name):
    model, ids = make(name), tokens()
    before = decode(model, ids)
    with thermoe.attach(model, plan=thermoe.RoutingPlan.baseline(LAYERS, EXPERTS, K)):
        assert torch.equal(decode(model, ids), before)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("experts", ["eager", "grouped_mm"])
def test_prices_take_experts_from_a_batch_and_every_slot_still_names_one_that_runs(name, experts):
    model, ids = make(name, experts), tokens()
    before = decode(model, ids)
    recorded = Experts(model)
    decode(model, ids)
    free = [len(indices.unique()) for indices, _ in recorded.calls]
    recorded.calls.clear()
    with thermoe.attach(model, plan=priced()):
        after = decode(model, ids)
    recorded.remove()
    assert not torch.allclose(after, before)
    assert torch.isfinite(after).all()
    for (indices, weights), active in zip(recorded.calls, free, strict=True):
        runs = indices[weights > 0].unique()
        assert set(indices.unique().tolist()) == set(runs.tolist())  # a repeated one at weight 0 runs anyway
        assert len(runs) <= active
        assert indices.shape == (6, K) and int(indices.min()) >= 0 and int(indices.max()) < EXPERTS
        assert (weights.sum(1) <= 2.5 + 1e-3).all()
    assert sum(len(indices.unique()) for indices, _ in recorded.calls) < sum(free)


@pytest.mark.parametrize("name", ALL)
def test_eager_experts_and_grouped_products_agree_under_prices(name):
    ids, results = tokens(), []
    for experts in ("eager", "grouped_mm"):
        model = make(name, experts)
        with thermoe.attach(model, plan=priced()):
            results.append(decode(model, ids))
    torch.testing.assert_close(*results, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_a_detached_model_is_as_it_was(name):
    model, ids = make(name), tokens()
    before, state = decode(model, ids), sorted(model.state_dict())
    attributes = {module_name: sorted(vars(module)) for module_name, module in model.named_modules()}
    attachment = thermoe.attach(model, plan=priced())
    assert not torch.equal(decode(model, ids), before)
    thermoe.detach(model)
    assert torch.equal(decode(model, ids), before)
    assert not attachment.attached
    attachment.detach()  # nothing left to do
    assert sorted(model.state_dict()) == state
    assert {module_name: sorted(vars(module)) for module_name, module in model.named_modules()} == attributes
    for module in model.modules():
        assert not module._forward_hooks and not module._forward_pre_hooks
    gone = weakref.ref(attachment)
    del attachment
    gc.collect()
    assert gone() is None


def test_prompts_are_not_priced():
    model, ids = make("Qwen3Moe"), tokens()
    with torch.no_grad():
        before = model(ids).logits
        with thermoe.attach(model, plan=priced(price=1e6)):
            assert torch.equal(model(ids).logits, before)


def test_of_a_plan_with_biases_and_prices_only_the_biases_reach_prompts():
    model, ids = make("Qwen3Moe"), tokens()
    bias = [[0.3 if expert % 3 == 0 else 0.0 for expert in range(EXPERTS)]] * LAYERS
    rows = [thermoe.LayerRow(K, 1)] * LAYERS
    logits = []
    with torch.no_grad():
        logits.append(model(ids).logits)
        for price in (0.0, float("inf")):
            with thermoe.attach(model, plan=thermoe.RoutingPlan(rows, bias, [[price] * EXPERTS] * LAYERS)):
                logits.append(model(ids).logits)
    own, biased, both = logits
    assert not torch.allclose(biased, own)
    assert torch.equal(both, biased)


def test_a_models_generate_runs_under_a_plan():
    model, ids = make("Mixtral"), tokens(rows=4)
    with thermoe.attach(model, plan=priced()) as attachment:
        told = []
        attachment.source.observe = lambda **step: told.append(step)
        out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=5, min_new_tokens=5, do_sample=False)
    assert out.shape == (4, 11)
    assert [(step["tokens"], step["mixed"]) for step in told] == [(24, True)] + [(4, False)] * 4
    assert all(step["step_time_s"] > 0 for step in told)


class Asking:
    """A source whose plan is given and that wants every step's sample."""

    def __init__(self, plan, period=0.0):
        self.version, self.plan, self.step_period_s, self.sample_wanted = 1, memoryview(plan.to_bytes()), period, True
        self.told, self.closed = [], False

    def acquire(self):
        return self

    def observe(self, **step):
        self.told.append(step)

    def close(self):
        self.closed = True


def attach_to(model, source, monkeypatch, **more):
    monkeypatch.setattr(thermoe.hf, "Controller", lambda configuration: source)
    return thermoe.attach(model, power_w=300, **more)


@pytest.mark.parametrize("name", ["Qwen3Moe", "DeepseekV3"])
def test_a_sampled_step_tells_the_routers_logits_and_what_each_expert_received(name, monkeypatch):
    model, ids = make(name), tokens(length=2)
    source = Asking(priced())
    recorded = Experts(model)
    with attach_to(model, source, monkeypatch):
        decode(model, ids)
    recorded.remove()
    step = source.told[-1]
    assert step["logits"].shape == (LAYERS, 6, EXPERTS) and step["counts"].shape == (LAYERS, EXPERTS)
    assert step["logits"].is_contiguous() and step["counts"].dtype == torch.int32
    for layer, (indices, weights) in enumerate(recorded.calls[-LAYERS:]):
        assert step["counts"][layer].tolist() == [int(((indices == e) & (weights > 0)).sum()) for e in range(EXPERTS)]
    assert source.closed


def test_a_new_plan_runs_from_the_next_step_on(monkeypatch):
    model, ids = make("Qwen3Moe"), tokens()
    before = decode(model, ids)
    source = Asking(thermoe.RoutingPlan.baseline(LAYERS, EXPERTS, K))
    with attach_to(model, source, monkeypatch) as attachment:
        assert torch.equal(decode(model, ids), before)
        source.plan, source.version = memoryview(priced().to_bytes()), 2
        assert not torch.allclose(decode(model, ids), before)
        assert attachment.plan.to_bytes() == priced().to_bytes()


def test_a_controller_that_fails_costs_no_step_and_its_plan_stays(monkeypatch):
    model, ids = make("Qwen3Moe"), tokens()
    source = Asking(priced())
    with attach_to(model, source, monkeypatch) as attachment:
        under_plan = decode(model, ids)
        for function in ("acquire", "observe"):
            def fails(**_):
                raise thermoe.ThermoeError(f"{function} fails")
            setattr(source, function, fails)
            assert torch.equal(decode(model, ids), under_plan)
            assert str(attachment.error) == f"{function} fails" and f"{function} fails" in repr(attachment)


def test_a_forward_call_that_fails_is_no_step(monkeypatch):
    model, source = make("Qwen3Moe"), Asking(priced())
    with attach_to(model, source, monkeypatch):
        with pytest.raises(IndexError):
            model(torch.tensor([[10**6]]))
        assert source.told == []
        decode(model, tokens(length=1))
        assert len(source.told) == 1


@pytest.mark.parametrize("pace", [True, False])
def test_decode_steps_wait_for_the_step_period_if_they_are_to(pace, monkeypatch):
    model, ids = make("Qwen3Moe"), tokens(length=5)
    with attach_to(model, Asking(priced(), period=0.15), monkeypatch, pace=pace) as attachment:
        decode(model, ids)
        told = attachment.source.told
    periods = [step["step_period_s"] for step in told[1:]]
    if pace:
        assert all(period >= 0.15 for period in periods)  # never earlier; how much later is the machine's
    else:
        assert min(periods) < 0.15


def test_under_torch_compile_a_plan_runs_and_changes_without_compiling_anew(monkeypatch):
    model, ids = make("Mixtral"), tokens(length=3)
    source = Asking(priced())
    source.sample_wanted = False
    with attach_to(model, source, monkeypatch):
        eager = decode(model, ids)
        compiled = torch.compile(model, backend="eager", dynamic=True)
        torch.testing.assert_close(decode(compiled, ids), eager, rtol=1e-4, atol=1e-5)
        counters = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        source.plan, source.version = memoryview(priced(price=0.1).to_bytes()), 2
        second = decode(compiled, ids)
        assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == counters
        assert not torch.allclose(second, eager)
        with pytest.raises(ValueError, match="attached already"):
            thermoe.attach(model, plan=priced())
    torch._dynamo.reset()


def test_a_compiled_model_is_refused():
    model = make("Mixtral")
    with pytest.raises(ValueError, match="is compiled already.*attach first"):
        thermoe.attach(torch.compile(model, backend="eager"), plan=priced())
    model.forward = torch.compile(model.forward, backend="eager")
    with pytest.raises(ValueError, match="MixtralForCausalLM. is compiled already"):
        thermoe.attach(model, plan=priced())


def test_a_model_is_attached_once_at_a_time():
    model = make("Mixtral")
    with thermoe.attach(model, plan=priced()):
        with pytest.raises(ValueError, match="attached already; thermoe.detach"):
            thermoe.attach(model, plan=priced())
    with pytest.raises(ValueError, match="MixtralForCausalLM is not attached"):
        thermoe.detach(model)


def test_a_model_without_experts_is_refused_by_its_class():
    import transformers
    config = transformers.LlamaConfig(vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                      num_attention_heads=1)
    with pytest.raises(thermoe.UnsupportedModelError, match="LlamaForCausalLM has no Mixture-of-Experts layer"):
        thermoe.attach(transformers.LlamaForCausalLM(config), plan=priced())


def test_a_router_of_another_kind_is_refused_by_its_class_with_what_is_supported():
    import transformers
    config = transformers.MiniMaxM2Config(vocab_size=16, hidden_size=16, intermediate_size=16, num_hidden_layers=1,
                                          num_attention_heads=1, num_key_value_heads=1, head_dim=16, num_local_experts=8,
                                          num_experts_per_tok=2)
    with pytest.raises(thermoe.UnsupportedModelError, match="MiniMaxM2TopKRouter.forward takes .*Supported are .*Mixtral"):
        thermoe.attach(transformers.MiniMaxM2ForCausalLM(config), plan=priced())


def test_a_router_that_does_something_else_than_its_attributes_say_is_found_out():
    model = make("Qwen3Moe")
    gate = model.model.layers[1].mlp.gate
    forward = gate.forward

    def cooler(hidden):
        logits, weights, indices = forward(hidden)
        return logits, weights.pow(0.5), indices

    gate.forward = cooler
    with pytest.raises(thermoe.UnsupportedModelError, match="layers.1.mlp.gate: Qwen3MoeTopKRouter does not route as"):
        thermoe.attach(model, plan=priced())


def test_a_plan_of_another_shape_is_refused():
    with pytest.raises(ValueError, match="3 layers x 16 experts for MixtralForCausalLM, which has 2 MoE layers x 16"):
        thermoe.attach(make("Mixtral"), plan=thermoe.RoutingPlan.baseline(3, EXPERTS, K))
    with pytest.raises(ValueError, match="k=5 .* take 4 picks"):
        thermoe.attach(make("Mixtral"), plan=thermoe.RoutingPlan.baseline(LAYERS, EXPERTS, 5))


def test_a_plan_that_stays_holds_no_target():
    with pytest.raises(ValueError, match="power_w: only a controller"):
        thermoe.attach(make("Mixtral"), plan=priced(), power_w=350)


def test_a_router_called_outside_of_a_step_does_what_the_model_says():
    model = make("Qwen3Moe")
    hidden = torch.randn(4, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), thermoe.attach(model, plan=priced()):
        decode(model, tokens(length=1))
        gate = model.model.layers[0].mlp.gate
        for given, own in zip(gate(hidden), gate.forward(hidden), strict=True):
            assert torch.equal(given, own)
