# SPDX-License-Identifier: Apache-2.0
"""Routers of a real vLLM: each class is read, proven against itself, and routes under a plan."""
import pytest
import torch
import vllm_here
from vllm.model_executor.layers.fused_moe.router import router_factory as factory

from thermoe.engine.known import UnsupportedEngineError
from thermoe.engine.route_into import route_into
from thermoe.engine.step_buffers import StepBuffers
from thermoe.plan import RoutingPlan
from thermoe.routing import Router
from thermoe.vllm.compatibility import ROUTER_PARAMETERS, WORKER_SIGNATURES, check_signatures, check_version
from thermoe.vllm.router import PricedRouter, prove, read_router

EXPERTS, K, TOKENS = 32, 4, 24
BIAS = torch.randn(EXPERTS, generator=torch.Generator().manual_seed(3)) * 0.3
SIZES = {"top_k": K, "global_num_experts": EXPERTS}
GROUPS = {"num_expert_group": 8, "topk_group": 4}
STOCK = {
    "softmax": (lambda: factory.FusedTopKRouter(**SIZES), Router(K)),
    "softmax, not renormalised": (lambda: factory.FusedTopKRouter(**SIZES, renormalize=False), Router(K, denominator="none")),
    "sigmoid": (lambda: factory.FusedTopKRouter(**SIZES, scoring_func="sigmoid"), Router(K, score="sigmoid")),
    "sigmoid with a bias, scaled": (
        lambda: factory.FusedTopKBiasRouter(**SIZES, e_score_correction_bias=BIAS, routed_scaling_factor=2.5),
        Router(K, score="sigmoid", scale=2.5)),
    "softmax with a bias": (
        lambda: factory.FusedTopKBiasRouter(**SIZES, e_score_correction_bias=BIAS / EXPERTS, scoring_func="softmax",
                                            renormalize=False), Router(K, denominator="none")),
    "square root of softplus": (
        lambda: factory.FusedTopKBiasRouter(**SIZES, e_score_correction_bias=BIAS, scoring_func="sqrtsoftplus"),
        Router(K, score="sqrt_softplus")),
    "groups": (
        lambda: factory.GroupedTopKRouter(**SIZES, **GROUPS, scoring_func="sigmoid", routed_scaling_factor=2.5,
                                          e_score_correction_bias=BIAS),
        Router(K, score="sigmoid", groups=8, groups_kept=4, scale=2.5)),
    "one group": (
        lambda: factory.GroupedTopKRouter(**SIZES, num_expert_group=1, topk_group=1, routed_scaling_factor=1.5), Router(K, scale=1.5)),
    "groups that do not divide the experts": (
        lambda: factory.GroupedTopKRouter(**SIZES, num_expert_group=5, topk_group=2, scoring_func="sigmoid",
                                          routed_scaling_factor=2.0), Router(K)),
    "a bias and groups that do not divide the experts": (
        lambda: factory.GroupedTopKRouter(**SIZES, num_expert_group=5, topk_group=2, scoring_func="sigmoid",
                                          routed_scaling_factor=2.0, e_score_correction_bias=BIAS),
        Router(K, score="sigmoid", scale=2.0)),
}
DEVICE = torch.device("cpu")


def logits_of(dtype, tied=False, tokens=TOKENS):
    given = torch.randn(tokens, EXPERTS, generator=torch.Generator().manual_seed(7))
    return (given * 2).round().div(2).to(dtype) if tied else given.to(dtype)


def bound(name, *, valid=-1, price=None):
    router = PricedRouter(STOCK[name][0](), EXPERTS)
    buffers = StepBuffers(2, EXPERTS, K, TOKENS, DEVICE)
    if price is not None:
        buffers.plan.update(RoutingPlan.priced(2, EXPERTS, K, price=price).to_bytes())
    buffers.step.set(5, valid=valid)
    router.bind(route_into(DEVICE), buffers, 1, router.spec.weighed_by("reference"))
    return router, buffers


def select(router, logits, indices_type=None):
    return router.select_experts(torch.zeros(len(logits), 8), logits, indices_type)


def by_weight(weights, ids):
    """Experts of each token that have weight, of equal ones in any order."""
    return [sorted(zip(w, i)) for w, i in zip(weights.tolist(), ids.tolist())]


@pytest.mark.parametrize("name", STOCK)
def test_a_stock_router_is_read_as_what_it_does(name):
    make, router = STOCK[name]
    assert read_router(make(), EXPERTS) == router
    prove(PricedRouter(make(), EXPERTS), "a layer", route_into(DEVICE), DEVICE)


@pytest.mark.parametrize("name", STOCK)
def test_what_was_read_wrong_does_not_pass_the_proof(name):
    router = PricedRouter(STOCK[name][0](), EXPERTS)
    wrong = Router(K, score="sigmoid" if router.spec.score != "sigmoid" else "softmax", denominator=router.spec.denominator,
                   scale=router.spec.scale, groups=router.spec.groups, groups_kept=router.spec.groups_kept)
    router.spec = wrong
    with pytest.raises(UnsupportedEngineError, match=f"{type(router.inner).__name__} does not route .* at layer 3"):
        prove(router, "layer 3", route_into(DEVICE), DEVICE)


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_under_the_plain_plan_picks_and_weights_are_stocks(name, dtype):
    router, _ = bound(name)
    logits = logits_of(dtype)
    weights, ids = select(router, logits)
    stock_weights, stock_ids = router.inner._compute_routing(torch.zeros(TOKENS, 8), logits, None)
    assert weights.dtype == torch.float32 and ids.dtype == torch.int32
    rtol = 1e-6 if dtype == torch.float32 or "Fused" in type(router.inner).__name__ else 1e-2  # grouped: scores in bf16
    torch.testing.assert_close(weights.sort(1).values, stock_weights.sort(1).values, rtol=rtol, atol=1e-7)
    if dtype == torch.float32 or "Fused" in type(router.inner).__name__:
        assert torch.equal(ids.sort(1).values, stock_ids.int().sort(1).values)


@pytest.mark.parametrize("name", [name for name in STOCK if "Fused" in type(STOCK[name][0]()).__name__])
def test_of_equal_bf16_logits_the_same_experts_are_picked_in_the_same_order(name):
    router, _ = bound(name)
    logits = logits_of(torch.bfloat16, tied=True)
    weights, ids = select(router, logits)
    stock_weights, stock_ids = router.inner._compute_routing(torch.zeros(TOKENS, 8), logits, None)
    assert any(len(set(row)) < K for row in stock_weights.tolist())  # there are ties among the picks
    assert torch.equal(ids, stock_ids)
    torch.testing.assert_close(weights, stock_weights, rtol=3e-7, atol=0)


@pytest.mark.parametrize("name", STOCK)
def test_a_price_takes_experts_from_the_batch_and_no_slot_is_left_empty(name):
    logits = logits_of(torch.bfloat16)
    _, plain = select(bound(name)[0], logits)
    router, buffers = bound(name, price=0.8)
    weights, ids = select(router, logits)
    runs = ids[weights > 0].unique()
    assert len(runs) < len(plain.unique())
    assert set(ids.unique().tolist()) == set(runs.tolist())
    assert torch.equal(buffers.counts[1], torch.bincount(ids[weights > 0], minlength=EXPERTS).int())
    assert not buffers.counts[0].any()  # another layer's


@pytest.mark.parametrize("price", [None, 0.5])
def test_padding_rows_get_an_expert_that_runs_at_no_weight_and_are_not_counted(price):
    router, buffers = bound("softmax", valid=10, price=price)
    logits = logits_of(torch.bfloat16)
    weights, ids = select(router, logits)
    alone_weights, alone_ids = select(bound("softmax", price=price)[0], logits[:10])
    assert by_weight(weights[:10], ids[:10]) == by_weight(alone_weights, alone_ids)
    assert not weights[10:].any()
    assert set(ids[10:].unique().tolist()) <= set(ids[:10].unique().tolist())
    assert int(buffers.counts[1].sum()) == int((weights > 0).sum())


def test_prefill_is_not_priced():
    router, buffers = bound("softmax", price=5.0)
    buffers.step.set(5, prefill=True)
    weights, ids = select(router, logits_of(torch.float32))
    stock_weights, stock_ids = router.inner._compute_routing(torch.zeros(TOKENS, 8), logits_of(torch.float32), None)
    assert torch.equal(ids.sort(1).values, stock_ids.sort(1).values)


@pytest.mark.parametrize("slot", [0, 1])
def test_the_steps_logits_come_into_the_slot_that_is_named_and_no_other(slot):
    router, buffers = bound("groups", valid=20)
    logits = logits_of(torch.bfloat16)
    select(router, logits)
    assert not buffers.samples.any() and buffers.samples.dtype == torch.bfloat16
    buffers.slot.fill_(slot)
    select(router, logits)
    assert torch.equal(buffers.samples[slot, 1, :20], logits[:20])
    assert not buffers.samples[1 - slot].any() and not buffers.samples[slot, 0].any()


def test_layers_whose_gates_give_different_types_are_refused():
    router, _ = bound("softmax")
    select(router, logits_of(torch.bfloat16))
    with pytest.raises(RuntimeError, match="layer 1's gate gives torch.float32, the first one's torch.bfloat16"):
        select(router, logits_of(torch.float32))


@pytest.mark.parametrize("indices_type", [None, torch.int32, torch.int64])
def test_ids_have_the_type_that_is_asked_for(indices_type):
    router, _ = bound("softmax")
    seen = []
    router.set_capture_fn(seen.append)
    _, ids = select(router, logits_of(torch.float32), indices_type)
    assert ids.dtype == (indices_type or torch.int32) and len(seen) == 1


def test_an_unbound_router_is_the_stock_one():
    router = PricedRouter(STOCK["softmax"][0](), EXPERTS)
    logits = logits_of(torch.bfloat16)
    for given, stock in zip(select(router, logits), select(router.inner, logits)):
        assert torch.equal(given, stock)


def test_a_bias_that_is_loaded_anew_is_the_routers_from_then_on():
    bias = torch.nn.Parameter(torch.zeros(EXPERTS), requires_grad=False)
    router = PricedRouter(factory.FusedTopKBiasRouter(**SIZES, e_score_correction_bias=bias), EXPERTS)
    assert router.beta.data_ptr() == bias.data_ptr()  # where a captured graph of the stock router reads it, too
    bias.data.fill_(2.0)
    assert float(router.beta[0]) == 2.0
    assert not [value for value in vars(router).values() if isinstance(value, torch.Tensor)]


def test_the_layers_kernel_is_chosen_for_routes_that_come_from_outside():
    router = PricedRouter(STOCK["softmax"][0](), EXPERTS)
    assert router.routing_method_type.name == "Custom" and not router.supports_monolithic_kernels
    assert getattr(router, "kernel_routing_method_type", router.routing_method_type).name == "Custom"


def custom(hidden_states, gating_output, topk, renormalize):
    return gating_output.topk(topk)


REFUSED = {
    "CustomRoutingRouter is not one": lambda: factory.CustomRoutingRouter(**SIZES, custom_routing_function=custom),
    "ZeroExpertRouter is not one": lambda: factory.ZeroExpertRouter(
        **SIZES, e_score_correction_bias=BIAS, num_logical_experts=EXPERTS - 4, zero_expert_type="identity"),
    "AiterSharedRoutedFusedMoERouter is not one": lambda: factory.AiterSharedRoutedFusedMoERouter(
        **SIZES, num_fused_shared_experts=1),
    "FusedTopKBiasRouter picks by a table": lambda: factory.FusedTopKBiasRouter(
        **SIZES, hash_indices_table=torch.zeros(9, K, dtype=torch.int32)),
    "FusedTopKBiasRouter appends shared experts": lambda: factory.FusedTopKBiasRouter(
        **SIZES, e_score_correction_bias=BIAS, num_fused_shared_experts=1),
    "GroupedTopKRouter keeps the groups of the best single expert": lambda: factory.GroupedTopKRouter(**SIZES, **GROUPS),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_a_router_that_cannot_be_told_how_to_route_is_refused_by_name(reason):
    with pytest.raises(UnsupportedEngineError, match=reason):
        PricedRouter(REFUSED[reason](), EXPERTS)
    with pytest.raises(UnsupportedEngineError, match="Supported are routers that pick by softmax"):
        PricedRouter(REFUSED[reason](), EXPERTS)


def test_the_version_under_test_is_a_known_one_and_its_signatures_are_as_they_were():
    check_version(vllm_here.VERSION)
    check_signatures(WORKER_SIGNATURES)
    check_signatures(ROUTER_PARAMETERS, others=True)


@pytest.mark.parametrize("name, expected, others, message", [
    ("vllm.v1.worker.gpu_worker:Worker.execute_model", ("self",), False, r"takes \(self, scheduler_output\), expected \(self\)"),
    ("vllm.v1.worker.gpu_worker:Worker.execute_model", ("self", "more"), True, r"expected \(self, more\)"),
    ("vllm.v1.worker.gpu_worker:Worker.gone", ("self",), False, "is not there"),
    ("vllm.gone:Worker", ("self",), False, "is not there"),
])
def test_a_name_that_is_not_what_it_was_is_told(name, expected, others, message):
    with pytest.raises(UnsupportedEngineError, match=f"{name} .*{message}"):
        check_signatures({name: expected}, others=others)
