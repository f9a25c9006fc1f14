# SPDX-License-Identifier: Apache-2.0
"""thermoe::grouped_experts and thermoe::fused_dequant_linear give what loops over torch's own linear layers give."""
import pytest
import torch
import torch.nn.functional as F

from thermoe import ops

ACTIVATIONS = {"relu": F.relu, "gelu": lambda x: F.gelu(x, approximate="tanh")}


def experts_one_by_one(hidden, weights, ids, gate, up, down, kind, up_bias=None, down_bias=None):
    """float64."""
    out = torch.zeros(hidden.shape, dtype=torch.float64)
    for t, (row, shares) in enumerate(zip(ids.tolist(), weights.double())):
        for e, share in zip(row, shares):
            if e < 0:
                continue
            x = hidden[t].double()
            y = F.linear(x, up[e].double(), None if up_bias is None else up_bias[e].double())
            y = F.silu(F.linear(x, gate[e].double())) * y if kind == "swiglu" else ACTIVATIONS[kind](y)
            out[t] += share * F.linear(y, down[e].double(), None if down_bias is None else down_bias[e].double())
    return out


def layer(seed, experts, d_model, d_ff, kind):
    torch.manual_seed(seed)
    gate = torch.randn(experts, d_ff, d_model) / d_model**0.5 if kind == "swiglu" else None
    return gate, torch.randn(experts, d_ff, d_model) / d_model**0.5, torch.randn(experts, d_model, d_ff) / d_ff**0.5


def picks(tokens, experts, slots):
    ids = torch.stack([torch.randperm(experts)[:slots] for _ in range(tokens)]).int()
    ids[torch.rand(tokens, slots) < 0.2] = -1
    return torch.rand(tokens, slots), ids


@pytest.mark.parametrize("kind", ("swiglu", "relu", "gelu"))
@pytest.mark.parametrize("dtype", (torch.float32, torch.bfloat16))
@pytest.mark.parametrize("d_model,d_ff", ((64, 96), (33, 41)))
def test_panel_experts(kind, dtype, d_model, d_ff):
    matrices = [None if m is None else m.to(dtype).float() for m in layer(1, 6, d_model, d_ff, kind)]
    biases = {"up_bias": torch.randn(6, d_ff), "down_bias": torch.randn(6, d_model)} if kind != "swiglu" else {}
    packed = ops.pack_experts(*matrices, kind=kind, dtype=dtype, **biases)
    hidden = torch.randn(9, d_model)
    weights, ids = picks(9, 6, 3)
    got = ops.grouped_experts(hidden, weights, ids, packed)
    wanted = experts_one_by_one(hidden, weights, ids, *matrices, kind, **biases)
    torch.testing.assert_close(got, wanted.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("group,zero_point", ((32, False), (64, True), (128, False), (128, True)))
@pytest.mark.parametrize("kind", ("swiglu", "gelu"))
def test_int4_experts(kind, group, zero_point):
    matrices = layer(2, 5, 256, 128, kind)
    packed = ops.quantise_experts(*matrices, kind=kind, group=group, zero_point=zero_point)
    hidden = torch.randn(7, 256)
    weights, ids = picks(7, 5, 2)
    got = ops.grouped_experts(hidden, weights, ids, packed)
    rounded = [None if m is None else m.dequantise() for m in (packed.gate, packed.up, packed.down)]
    wanted = experts_one_by_one(hidden, weights, ids, *rounded, kind)
    torch.testing.assert_close(got, wanted.float(), rtol=1e-4, atol=1e-5)


def test_routed_experts_are_those_that_were_picked():
    matrices = layer(3, 16, 32, 48, "swiglu")
    hidden = torch.randn(10, 32)
    route = ops.topk_route(torch.randn(10, 16), ops.Router(k=4, score="sigmoid", scale=2.5))
    got = ops.grouped_experts(hidden, route.weights, route.ids, ops.pack_experts(*matrices, dtype=torch.float32))
    torch.testing.assert_close(got, experts_one_by_one(hidden, *route[:2], *matrices, "swiglu").float(), rtol=1e-4, atol=1e-5)


def test_a_result_has_the_type_of_its_input():
    packed = ops.pack_experts(*layer(4, 4, 32, 32, "swiglu"))
    hidden = torch.randn(3, 32).bfloat16()
    weights, ids = picks(3, 4, 2)
    got = ops.grouped_experts(hidden, weights, ids, packed)
    assert got.dtype == torch.bfloat16
    assert torch.equal(got, ops.grouped_experts(hidden.float(), weights, ids, packed).bfloat16())


def test_no_tokens_give_no_rows():
    packed = ops.pack_experts(*layer(4, 4, 32, 32, "swiglu"))
    assert ops.grouped_experts(torch.empty(0, 32), torch.empty(0, 2), torch.empty(0, 2).int(), packed).shape == (0, 32)


@pytest.mark.parametrize("group", (32, 64, 128))
@pytest.mark.parametrize("zero_point", (False, True))
def test_int4_rounds_within_its_step(group, zero_point):
    torch.manual_seed(5)
    weight = torch.randn(3, 40, 256)
    packed = ops.quantise_int4(weight, group, zero_point)
    step = packed._by_input(packed.scales)[..., :40, :]
    assert packed.group == group and packed.words.shape == (3, 3, 32, 16)
    assert ((packed.dequantise() - weight).abs() <= step * (1.0 if zero_point else 0.5) * 1.0001).all()


def test_the_layout_is_the_documents():
    """docs/adr/0004-int4-layout.md, one weight at a time."""
    torch.manual_seed(6)
    packed = ops.quantise_int4(torch.randn(20, 64), 32, zero_point=True)
    values = packed.dequantise()
    for n, k in ((0, 0), (7, 13), (15, 63), (16, 8), (19, 31)):
        q = packed.words[n // 16, k // 8, n % 16].item() >> 4 * (k % 8) & 15
        cell = (n // 16, k // 32, n % 16)
        assert values[n, k] == packed.scales[cell] * (q - packed.zero_points[cell].item())
    assert packed.words[1, :, 4:].eq(-0x77777778).all() and packed.scales[1, :, 4:].eq(0).all()


@pytest.mark.parametrize("epilogue", ("none", "relu", "gelu", "silu_mul"))
@pytest.mark.parametrize("group,zero_point", ((32, True), (128, False)))
def test_linear_on_int4(epilogue, group, zero_point):
    torch.manual_seed(7)
    weight, up = (ops.quantise_int4(torch.randn(50, 256), group, zero_point) for _ in range(2))
    bias, up_bias = torch.randn(2, 50)
    x = torch.randn(5, 256)
    given = {"up": up, "up_bias": up_bias} if epilogue == "silu_mul" else {}
    got = ops.fused_dequant_linear(x, weight, bias, epilogue=epilogue, **given)
    y = F.linear(x.double(), weight.dequantise().double(), bias.double())
    if epilogue == "silu_mul":
        y = F.silu(y) * F.linear(x.double(), up.dequantise().double(), up_bias.double())
    elif epilogue != "none":
        y = ACTIVATIONS[epilogue](y)
    torch.testing.assert_close(got, y.float(), rtol=1e-4, atol=1e-3)
