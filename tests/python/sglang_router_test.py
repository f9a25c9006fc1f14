# SPDX-License-Identifier: Apache-2.0
"""A real SGLang's routing: each kind is read, proven against itself, and routes under a plan through select_experts."""
import math

import pytest
import sglang_here
import torch
from sglang_here import EXPERTS, K, Gate, Model, topk

from thermoe.engine.known import UnsupportedEngineError
from thermoe.engine.route_into import route_into
from thermoe.engine.settings import Settings
from thermoe.engine.step_buffers import StepBuffers
from thermoe.engine.steps import StepOrder
from thermoe.plan import RoutingPlan
from thermoe.routing import Router, route
from thermoe.sglang import compatibility
from thermoe.sglang.binding import find_layers, load
from thermoe.sglang.router import PricedRouting, bind, prove, read_router

DEVICE = torch.device("cpu")
BIAS = torch.randn(EXPERTS, generator=torch.Generator().manual_seed(3)) * 0.3
GROUPS = {"use_grouped_topk": True, "num_expert_group": 8, "topk_group": 4}
SCALED = {"routed_scaling_factor": 2.5, "apply_routed_scaling_factor_on_output": True}
KINDS = {
    "softmax": ({}, Router(K)),
    "softmax, not renormalised": ({"renormalize": False}, Router(K, denominator="none")),
    "softmax, scaled": (SCALED, Router(K, scale=2.5)),
    "scaled by the experts": ({"routed_scaling_factor": 2.5}, Router(K)),
    "sigmoid with a bias": ({"scoring_func": "sigmoid", "correction_bias": BIAS}, Router(K, score="sigmoid")),
    "groups with a bias, scaled": ({**GROUPS, "correction_bias": BIAS, **SCALED},
                                   Router(K, score="sigmoid", groups=8, groups_kept=4, scale=2.5)),
    "all groups kept": ({**GROUPS, "topk_group": 8, "correction_bias": BIAS}, Router(K, score="sigmoid")),
    "all groups kept, softmax": ({**GROUPS, "topk_group": 8}, Router(K)),
}


def logits(rows=24, seed=5):
    return 1.5 * torch.randn(rows, EXPERTS, generator=torch.Generator().manual_seed(seed))


def bound(config, plan=None, rows=24, valid=None, denominator="reference"):
    """A Gate that routes under a plan, and the buffers that it reads."""
    gate = Gate(7, **config)
    spec = read_router(gate.topk.topk_config, "a layer")
    buffers = StepBuffers(2, EXPERTS, K, rows, DEVICE)
    if plan is not None:
        buffers.plan.update(plan.to_bytes())
    buffers.step.set(3, rows if valid is None else valid)
    bind(gate.topk.topk_config, PricedRouting(gate.topk.topk_config, route_into(DEVICE), buffers, 1,
                                              spec.weighed_by(denominator)))
    return gate, buffers


def by_expert(out):
    """[rows, experts] of weights: the order of a token's picks does not matter."""
    return torch.zeros(len(out.topk_ids), EXPERTS).scatter_add(1, out.topk_ids.long(), out.topk_weights.float())


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_read_and_proven(kind):
    config, expected = KINDS[kind]
    gate = Gate(7, **config)
    spec = read_router(gate.topk.topk_config, "a layer")
    assert spec == expected
    prove(gate.topk.topk_config, spec, EXPERTS, "a layer", 7, route_into(DEVICE), DEVICE)


@pytest.mark.parametrize("kind", KINDS)
def test_a_plan_that_changes_nothing_gives_sglangs_own_weights(kind):
    config, _ = KINDS[kind]
    gate, buffers = bound(config)
    out = gate(logits())
    torch.testing.assert_close(by_expert(out), by_expert(Gate(7, **config)(logits())), rtol=1e-4, atol=1e-6)
    assert out.topk_ids.shape == (24, K) and buffers.counts[1].sum() == 24 * K and not buffers.counts[0].any()


@pytest.mark.parametrize("kind", KINDS)
def test_prices_are_the_ops_and_what_comes_after_is_sglangs(kind):
    config, spec = KINDS[kind]
    plan = RoutingPlan.priced(2, EXPERTS, K, price=0.8)
    gate, buffers = bound(config, plan)
    out = gate(logits())
    expected = route(logits(), spec.weighed_by("reference"), plan=buffers.plan, layer=1, step=buffers.step,
                     beta=config.get("correction_bias"))
    ours = torch.zeros(24, EXPERTS).scatter_add(1, expected.ids.long(), expected.weights)
    torch.testing.assert_close(by_expert(out), ours, rtol=1e-4, atol=1e-6)
    assert torch.equal(buffers.counts[1], expected.counts)
    assert len(out.topk_ids.unique()) < len(Gate(7, **config)(logits()).topk_ids.unique())


def test_padding_rows_are_not_tokens():
    plan = RoutingPlan.priced(2, EXPERTS, K, price=0.8)
    gate, buffers = bound({}, plan, valid=5)
    out = gate(logits())
    few, _ = bound({}, plan, rows=5)
    torch.testing.assert_close(by_expert(out)[:5], by_expert(few(logits()[:5])), rtol=1e-5, atol=1e-7)
    assert buffers.counts[1].sum() <= 5 * K


def test_loading_weights_anew_changes_the_bias_that_is_used():
    bias = BIAS.clone()
    gate, _ = bound({"scoring_func": "sigmoid", "correction_bias": bias})
    before = gate(logits()).topk_ids
    bias.copy_(-3.0 * BIAS)
    assert not torch.equal(gate(logits()).topk_ids, before)


def test_a_routing_that_is_not_what_its_configuration_says_is_refused_by_name(monkeypatch):
    stock = topk.fused_topk_native
    monkeypatch.setattr(topk, "fused_topk_native", lambda **given: (0.5 * stock(**given)[0], stock(**given)[1]))
    config = Gate(7).topk.topk_config
    with pytest.raises(UnsupportedEngineError, match="model.layers.3 cannot be routed: SGLang does not route torch.float32"):
        prove(config, read_router(config, "x"), EXPERTS, "model.layers.3", 7, route_into(DEVICE), DEVICE)


@pytest.mark.parametrize("config, said", [
    (lambda: {"custom_routing_function": lambda **_: None}, "a routing function of its own"),
    (lambda: {"output_format": topk.TopKOutputFormat.BYPASSED}, "output is BYPASSED.*--moe-runner-backend triton"),
    (lambda: {"output_format": topk.TopKOutputFormat.TRITON_KERNEL}, "output is TRITON_KERNEL"),
    (lambda: {"output_format": None}, "output is none yet"),
    (lambda: {"scoring_func": "cosine"}, "scores by cosine"),
    (lambda: {"scoring_func": "sqrtsoftplus", "sqrtsoftplus_log1p": True}, "through log1p"),
    (lambda: GROUPS, "groups of the best single expert"),
])
def test_what_is_not_understood_is_refused_by_name(config, said):
    with pytest.raises(UnsupportedEngineError, match=f"a layer cannot be routed: .*{said}"):
        read_router(Gate(7, **config()).topk.topk_config, "a layer")


def test_fused_shared_experts_are_refused_by_name():
    class Config:
        custom_routing_function, num_shared_topk_slots = None, 1
    assert isinstance(topk.TopKConfig.num_shared_topk_slots, property)
    with pytest.raises(UnsupportedEngineError, match="--disable-shared-experts-fusion"):
        read_router(Config(), "a layer")


def test_a_model_is_loaded_whole_and_runs_by_orders():
    model = Model(scoring_func="sigmoid", correction_bias=BIAS)
    rank = load(model, Settings(path="x"), redundant=0, most_rows=16)
    facts = rank.facts
    assert (facts.layers, facts.experts, facts.d_model, facts.d_ff, facts.gated, facts.gpu) == (3, EXPERTS, 64, 48, True, None)
    assert facts.router == Router(K, score="sigmoid", denominator="reference") and len(facts.selection_bias) == 3
    block = RoutingPlan.priced(3, EXPERTS, K, price=math.inf).to_bytes()
    rank.begin(StepOrder(number=1, version=1, block=block, valid_tokens=10, prefill=False, sample=True), 10)
    given = [logits(16, seed) for seed in range(3)]
    for layer, values in zip(model.layers, given):
        layer(values)
    rank.end()
    report, = rank.take_reports()
    assert report.version == 1 and report.tokens == 10
    for layer in range(3):
        assert (report.counts[layer] > 0).sum() <= 10  # each token's best alone runs
        assert torch.equal(torch.from_numpy(report.logits.values[layer]), given[layer][:10])
    rank.begin(None, 16)  # nobody decides: as the model routes
    model.layers[0](given[0])
    rank.end()
    own = Gate(0, scoring_func="sigmoid", correction_bias=BIAS)(given[0]).topk_ids
    assert (rank.take_reports()[0].counts[0] > 0).sum() == len(own.unique())


def test_models_that_are_not_ours_are_refused_by_name():
    with pytest.raises(UnsupportedEngineError, match="Linear has no MoE layer that thermoe knows"):
        find_layers(torch.nn.Linear(2, 2), 0)
    model = Model()
    model.layers[2] = Gate(2, top_k=3)
    with pytest.raises(UnsupportedEngineError, match="layers.2.topk routes among 32 experts as .*one shape"):
        find_layers(model, 0)
    model = Model(scoring_func="sigmoid")
    model.layers[1] = Gate(1, scoring_func="sigmoid", correction_bias=BIAS)
    with pytest.raises(UnsupportedEngineError, match="layers.1.topk routes .* with a selection bias, layers.0.topk among"):
        find_layers(model, 0)
    model = Model()
    model.layers[1].experts = torch.nn.Identity()
    with pytest.raises(UnsupportedEngineError, match="layers.1.topk: the experts beside it have no moe_runner_config"):
        find_layers(model, 0)


def test_this_sglang_is_as_its_version_says():
    assert "not run on a GPU" in compatibility.check_version(sglang_here.VERSION)
    compatibility.check_signatures()


class Arguments:
    """As ServerArgs leaves them where nothing is asked for."""
    tp_size = pp_size = dp_size = ep_size = attn_cp_size = dcp_size = nnodes = 1
    speculative_algorithm = rl_on_policy_target = dllm_algorithm = elastic_ep_backend = lora_paths = None
    enable_deterministic_inference = enable_return_routed_experts = enable_pd_role_switch = enable_pdmux = False
    enable_two_batch_overlap = enable_waterfill = enable_lora = enable_torch_compile = enable_nvidia_megakernel = False
    enable_eplb = enable_memory_saver = False
    disaggregation_mode, moe_a2a_backend = "null", "none"


REFUSED = {
    "tp_size": (2, "tp_size 2: .*serve on one GPU"), "dp_size": (4, "dp_size 4"), "pp_size": (2, "pp_size 2"),
    "speculative_algorithm": ("EAGLE", "speculative decoding"), "enable_deterministic_inference": (True, "deterministic inference"),
    "rl_on_policy_target": ("fsdp", "deterministic inference"),
    "enable_return_routed_experts": (True, "routed experts are returned"),
    "disaggregation_mode": ("decode", "disaggregation"), "enable_pdmux": (True, "prefill and decode in one step"),
    "dllm_algorithm": ("x", "a diffusion model"), "enable_two_batch_overlap": (True, "two-batch overlap"),
    "moe_a2a_backend": ("deepep", "moe_a2a_backend deepep"), "enable_waterfill": (True, "waterfill"),
    "elastic_ep_backend": ("mooncake", "elastic expert parallelism"), "enable_lora": (True, "LoRA"), "lora_paths": (["a"], "LoRA"),
    "enable_torch_compile": (True, "torch.compile"), "enable_nvidia_megakernel": (True, "megakernel"),
    "enable_pd_role_switch": (True, "disaggregation"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_engines_that_cannot_be_served_are_refused_by_name(name, monkeypatch):
    value, said = REFUSED[name]
    arguments = Arguments()
    setattr(arguments, name, value)
    with pytest.raises(UnsupportedEngineError, match=f"thermoe cannot serve this engine. .*{said}"):
        compatibility.check_engine(arguments)


def test_an_engine_of_which_nothing_special_is_asked_is_served_and_all_that_is_asked_about_is_there(monkeypatch):
    from sglang.srt.server_args import ServerArgs
    assert compatibility.check_engine(Arguments()) == []
    known = {name for kind in ServerArgs.__mro__ for name in getattr(kind, "__annotations__", {})}
    asked = {name for name in vars(Arguments) if not name.startswith("__")}
    assert asked <= known and {"max_running_requests", "served_model_name", "ep_num_redundant_experts"} <= known
    arguments = Arguments()
    arguments.enable_eplb = True
    assert len(compatibility.check_engine(arguments)) == 1
    monkeypatch.setenv("SGLANG_SIMULATE_UNIFORM_EXPERTS", "true")
    with pytest.raises(UnsupportedEngineError, match="simulated routing: unset SGLANG_SIMULATE_UNIFORM_EXPERTS"):
        compatibility.check_engine(arguments)
