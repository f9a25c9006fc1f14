# SPDX-License-Identifier: Apache-2.0
"""What is wrong with an argument is a ValueError that names it, what it is and what would be right."""
import pytest
import torch

from thermoe import ops

EXPERTS = 8
LOGITS = torch.zeros(4, EXPERTS)
ROUTER = ops.Router(k=2)
OTHER_HEADER = ops.DevicePlan(2, EXPERTS, 2)
OTHER_HEADER.block[16] = 3
WIDE = ops.DevicePlan(2, EXPERTS, 3)


@pytest.mark.parametrize("message,logits,router,given", [
    (r"logits is another type \[4, 8\]; expected float32 or bfloat16 or float16", LOGITS.double(), ROUTER, {}),
    (r"logits is float32 \[8\]", LOGITS[0], ROUTER, {}),
    (r"logits is not contiguous; pass logits.contiguous\(\)", LOGITS.t(), ROUTER, {}),
    (r"logits have 2000 experts; expected 1..1024", torch.zeros(1, 2000), ROUTER, {}),
    (r"score=\"soft\" is unknown; there are softmax, sigmoid, sqrt_softplus", LOGITS, ops.Router(2, score="soft"), {}),
    (r"denominator=\"all\" is unknown", LOGITS, ops.Router(2, denominator="all"), {}),
    (r"router.groups: .*3", LOGITS, ops.Router(2, groups=3), {}),
    (r"k=9 is outside 1..experts=8", LOGITS, ops.Router(9), {}),
    (r"k=0 is outside 1..experts=8", LOGITS, ops.Router(0), {}),
    (r"beta is float32 \[7\]; expected float32 \[8\]", LOGITS, ROUTER, {"beta": torch.zeros(7)}),
    (r"slots=9 is outside k=2..experts=8", LOGITS, ROUTER, {"slots": 9}),
    (r"slots=1 is outside k=2..experts=8", LOGITS, ROUTER, {"slots": 1}),
    (r"plan is uint8 \[\d+\]; expected uint8 \[\d+\]", torch.zeros(4, 16), ROUTER, {"plan": ops.DevicePlan(2, 8, 2)}),
    (r"layer=2 is outside 0..1", LOGITS, ROUTER, {"plan": ops.DevicePlan(2, EXPERTS, 2), "layer": 2}),
    (r"plan is of 3 layers and 8 experts; expected 2 and 8", LOGITS, ROUTER, {"plan": OTHER_HEADER}),
    (r"k=3 exceeds slots=2", LOGITS, ROUTER, {"plan": WIDE}),
])
def test_routing(message, logits, router, given):
    for op in (ops.topk_route, ops.masked_logits):
        with pytest.raises(ValueError, match=message):
            op(logits, router, **given)


INTO = {"plan": None, "layer": 0, "step": None, "counts": torch.zeros(EXPERTS, dtype=torch.int32)}
SLOT = torch.zeros(1, dtype=torch.int32)


@pytest.mark.parametrize("message,given", [
    (r"counts is float32 \[8\]; expected int32 \[8\]", {"counts": torch.zeros(EXPERTS)}),
    (r"counts is int32 \[2, 8\]; expected int32 \[8\]", {"counts": torch.zeros(2, EXPERTS, dtype=torch.int32)}),
    (r"counts is not contiguous", {"counts": torch.zeros(EXPERTS, 2, dtype=torch.int32)[:, 0]}),
    (r"samples and slot belong together", {"samples": torch.zeros(2, 3, EXPERTS)}),
    (r"samples and slot belong together", {"slot": SLOT}),
    (r"samples is bfloat16 \[2, 3, 8\]; expected float32 \[2, \*, 8\]",
     {"samples": torch.zeros(2, 3, EXPERTS, dtype=torch.bfloat16), "slot": SLOT}),
    (r"samples is float32 \[3, 3, 8\]; expected float32 \[2, \*, 8\]",
     {"samples": torch.zeros(3, 3, EXPERTS), "slot": SLOT}),
    (r"samples has strides \[8, 16, 1\]; expected \[24 or more, ...\], each of its 2 parts contiguous",
     {"samples": torch.zeros(3, 2, EXPERTS).transpose(0, 1), "slot": SLOT}),
    (r"samples has strides \[0, 8, 1\]", {"samples": torch.zeros(3, EXPERTS).expand(2, 3, EXPERTS), "slot": SLOT}),
    (r"slot is int32 \[2\]; expected int32 \[1\]",
     {"samples": torch.zeros(2, 3, EXPERTS), "slot": torch.zeros(2, dtype=torch.int32)}),
    (r"slot is another type \[1\]; expected int32 \[1\]", {"samples": torch.zeros(2, 3, EXPERTS), "slot": SLOT.long()}),
    (r"k=3 exceeds slots=2", {"plan": WIDE}),
])
def test_an_engines_buffers(message, given):
    with pytest.raises(ValueError, match=message):
        ops.topk_route_into(LOGITS, ROUTER, **{**INTO, **given})


def test_more_valid_rows_than_there_are():
    step = ops.StepState()
    step.set(valid=5)
    with pytest.raises(ValueError, match="valid_tokens=5 is outside 0..tokens=4"):
        ops.topk_route(LOGITS, ROUTER, step=step)


def test_a_step_that_starts_in_the_middle_of_a_word():
    step = ops.StepState()
    step.tensor = torch.zeros(5, dtype=torch.int32)[1:]
    with pytest.raises(ValueError, match=r"step does not start at a multiple of 8 bytes.*step.clone\(\)"):
        ops.topk_route(LOGITS, ROUTER, step=step)


@pytest.mark.parametrize("message,plan", [
    (r"a plan of 128 bytes; 2 layers of 8 experts take \d+", bytes(128)),
    (r"no plan block of layout 2", bytes(ops.DevicePlan(2, EXPERTS, 2).block.numel())),
    (r"a plan of 3 layers and 8 experts; expected 2 and 8", bytes(OTHER_HEADER.block.tolist())),
])
def test_an_update_that_is_no_such_plan(message, plan):
    with pytest.raises(ValueError, match=message):
        ops.DevicePlan(2, EXPERTS, 2).update(plan)


HIDDEN = torch.zeros(3, 32)
WEIGHTS = torch.ones(3, 2)
IDS = torch.zeros(3, 2, dtype=torch.int32)
PACKED = ops.pack_experts(*torch.zeros(2, 4, 16, 32), torch.zeros(4, 32, 16))
INT4 = ops.quantise_experts(*torch.zeros(2, 4, 64, 64), torch.zeros(4, 64, 64), group=32)


@pytest.mark.parametrize("message,hidden,weights,ids,experts", [
    (r"ids is another type \[3, 2\]; expected int32 \[3, \*\]", HIDDEN, WEIGHTS, IDS.long(), PACKED),
    (r"weights is float32 \[3, 1\]; expected float32 \[3, 2\]", HIDDEN, WEIGHTS[:, :1].contiguous(), IDS, PACKED),
    (r"expert id 4 is outside -1..3", HIDDEN, WEIGHTS, IDS + 4, PACKED),
    (r"kind=\"moe\" is unknown; there are swiglu, relu, gelu", HIDDEN, WEIGHTS, IDS, PACKED._replace(kind="moe")),
    (r"gate is for swiglu only", HIDDEN, WEIGHTS, IDS, PACKED._replace(kind="gelu")),
    (r"gate is missing", HIDDEN, WEIGHTS, IDS, PACKED._replace(gate=None)),
    (r"gate is bfloat16 \[4, 1, 16, 16, 2\]; expected bfloat16 \[4, 2, 16, 16, 2\]", HIDDEN, WEIGHTS, IDS,
     PACKED._replace(d_ff=17)),
    (r"up_bias is float32 \[4, 15\]; expected float32 \[4, 16\]", HIDDEN, WEIGHTS, IDS,
     PACKED._replace(up_bias=torch.zeros(4, 15))),
    (r"gate_scales has 2 groups for 96 inputs; groups are of 32, 64 or 128", torch.zeros(3, 96), WEIGHTS, IDS, INT4),
    (r"zero_points are given for some matrices only", torch.zeros(3, 64), WEIGHTS, IDS,
     INT4._replace(down=ops.quantise_int4(torch.zeros(4, 64, 64), 32, zero_point=True))),
])
def test_experts(message, hidden, weights, ids, experts):
    with pytest.raises(ValueError, match=message):
        ops.grouped_experts(hidden, weights, ids, experts)


LINEAR = ops.quantise_int4(torch.zeros(16, 64), 32)


@pytest.mark.parametrize("message,x,weight,given", [
    (r"scales has 2 groups for 65 inputs; groups are of 32, 64 or 128 inputs", torch.zeros(2, 65), LINEAR, {}),
    (r"words is int32 \[1, 8, 16\]; expected int32 \[2, 8, 16\]", torch.zeros(2, 64), LINEAR._replace(outputs=17), {}),
    (r"epilogue=\"tanh\" is unknown; there are none, relu, gelu, silu_mul", torch.zeros(2, 64), LINEAR,
     {"epilogue": "tanh"}),
    (r"up and up_bias belong to the silu-mul epilogue only", torch.zeros(2, 64), LINEAR, {"up": LINEAR}),
    (r"up is null or empty", torch.zeros(2, 64), LINEAR, {"epilogue": "silu_mul"}),
    (r"bias is float32 \[3\]; expected float32 \[16\]", torch.zeros(2, 64), LINEAR, {"bias": torch.zeros(3)}),
])
def test_linear(message, x, weight, given):
    with pytest.raises(ValueError, match=message):
        ops.fused_dequant_linear(x, weight, **given)


def test_half_an_int4_matrix():
    with pytest.raises(ValueError, match="up_words, up_scales and up_zero_points belong together"):
        torch.ops.thermoe.fused_dequant_linear(torch.zeros(2, 64), *LINEAR, up_words=LINEAR.words)


def test_what_cannot_be_quantised():
    with pytest.raises(ValueError, match="group=32 for 40 inputs"):
        ops.quantise_int4(torch.zeros(16, 40), 32)
    with pytest.raises(ValueError, match="only finite weights"):
        ops.quantise_int4(torch.full((16, 32), torch.nan), 32)


@pytest.mark.skipif(ops.built_with_cuda, reason="this package was built with CUDA")
@pytest.mark.parametrize("op,given", [
    (torch.ops.thermoe.topk_route.default, (LOGITS, 2)),
    (torch.ops.thermoe.topk_route.masked, (LOGITS, 2)),
    (torch.ops.thermoe.topk_route.into, (LOGITS, 2, INTO["counts"])),
    (torch.ops.thermoe.fused_dequant_linear.default, (torch.zeros(2, 64), *LINEAR)),
    (torch.ops.thermoe.grouped_experts.default, (HIDDEN, WEIGHTS, IDS, *PACKED[:3])),
])
def test_a_package_without_cuda_says_so_on_a_cuda_tensor(op, given):
    """As the dispatcher calls it for a CUDA tensor, of which there are none here."""
    on_cuda = torch._C.DispatchKeySet(torch._C.DispatchKey.CUDA)
    named = {"d_ff": 16} if op is torch.ops.thermoe.grouped_experts.default else {}
    with pytest.raises(RuntimeError, match=r"built without CUDA.*move it with .cpu\(\).*THERMOE_CUDA=ON"):
        op.redispatch(on_cuda, *given, **named)


def test_a_device_without_the_ops_is_refused_by_torch():
    with pytest.raises(NotImplementedError, match="thermoe::topk_route"):
        torch.ops.thermoe.topk_route(LOGITS.to_sparse(), 2)
