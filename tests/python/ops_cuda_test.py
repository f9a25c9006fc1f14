# SPDX-License-Identifier: Apache-2.0
"""On a CUDA device the ops give what they give on the CPU, in torch's current stream and in CUDA graphs."""
import itertools

import pytest
import torch

from thermoe import ops

DEVICE = "cuda"
pytestmark = pytest.mark.skipif(not (torch.cuda.is_available() and ops.built_with_cuda),
                                reason="needs a CUDA device and a package built with CUDA")


def on_device(value):
    """Tensors of a named tuple, or of a tuple, on the device."""
    if isinstance(value, tuple):
        moved = [on_device(member) for member in value]
        return type(value)(*moved) if hasattr(value, "_fields") else tuple(moved)
    return value.to(DEVICE) if torch.is_tensor(value) else value


def priced_plan(experts, k, device=DEVICE):
    plan = ops.DevicePlan(2, experts, k, device)
    plan.k_min.fill_(1)
    plan.activation_price.fill_(0.3)
    plan.selection_bias[1] = torch.linspace(0, 0.2, experts)
    return plan


def experts(seed, count=8, d_model=64, d_ff=64):
    torch.manual_seed(seed)
    return (torch.randn(count, d_ff, d_model) / 8, torch.randn(count, d_ff, d_model) / 8,
            torch.randn(count, d_model, d_ff) / 8)


@pytest.mark.parametrize("score,groups,dtype", [*itertools.product(
    ("softmax", "sigmoid", "sqrt_softplus"), (1, 8), (torch.float32, torch.bfloat16))])
def test_routing_is_equal_bit_for_bit(score, groups, dtype):
    torch.manual_seed(1)
    router = ops.Router(4, score=score, groups=groups, groups_kept=max(1, groups // 2), scale=2.5)
    for tokens in (1, 16, 64, 300):
        logits, beta = (torch.randn(tokens, 64) * 2).to(dtype), torch.rand(64) / 5
        for op in (ops.topk_route, ops.masked_logits):
            got = op(logits.to(DEVICE), router, beta=beta.to(DEVICE), plan=priced_plan(64, 4), layer=1)
            wanted = op(logits, router, beta=beta, plan=priced_plan(64, 4, "cpu"), layer=1)
            for on, off in zip(got, wanted):
                torch.testing.assert_close(on.cpu(), off, rtol=0, atol=0)


@pytest.mark.parametrize("tokens", (1, 16, 200))
@pytest.mark.parametrize("packed", [lambda: ops.pack_experts(*experts(2)), lambda: ops.quantise_experts(*experts(2), group=32),
                                    lambda: ops.quantise_experts(*experts(2), group=64, zero_point=True)])
def test_experts_are_those_of_the_cpu_within_bf16(packed, tokens):
    packed = packed()
    torch.manual_seed(3)
    hidden = torch.randn(tokens, 64).bfloat16()
    route = ops.topk_route(torch.randn(tokens, 8), ops.Router(3))
    got = ops.grouped_experts(*on_device((hidden, route.weights, route.ids)), on_device(packed))
    torch.testing.assert_close(got.cpu(), ops.grouped_experts(hidden, route.weights, route.ids, packed), rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("epilogue", ("none", "gelu", "silu_mul"))
def test_linear_is_that_of_the_cpu_within_bf16(epilogue):
    torch.manual_seed(4)
    x, weight, up = torch.randn(5, 128).bfloat16(), *(ops.quantise_int4(torch.randn(40, 128) / 8, 32) for _ in range(2))
    given = {"up": up} if epilogue == "silu_mul" else {}
    got = ops.fused_dequant_linear(on_device(x), on_device(weight), epilogue=epilogue,
                                   **{name: on_device(value) for name, value in given.items()})
    torch.testing.assert_close(got.cpu(), ops.fused_dequant_linear(x, weight, epilogue=epilogue, **given), rtol=2e-2, atol=2e-2)


def test_a_captured_graph_routes_by_the_plan_of_each_replay():
    plan, step = priced_plan(8, 2), ops.StepState(DEVICE)
    packed = on_device(ops.pack_experts(*experts(5)))
    logits, hidden = torch.randn(16, 8, device=DEVICE), torch.randn(16, 64, device=DEVICE, dtype=torch.bfloat16)

    def layer():
        route = ops.topk_route(logits, ops.Router(2), plan=plan, layer=1, step=step)
        masked = ops.masked_logits(logits, ops.Router(2), plan=plan, layer=1, step=step)
        return route.counts, masked.logits, ops.grouped_experts(hidden, route.weights, route.ids, packed)

    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        layer()
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = layer()
    counts = set()
    for price, valid in ((0.0, 16), (0.9, 16), (float("inf"), 3)):
        plan.activation_price.fill_(price)
        step.set(valid=valid)
        graph.replay()
        counts.add(tuple(captured[0].tolist()))
        for got, wanted in zip(captured, layer()):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)
    assert len(counts) == 3


def engine_buffers(device, dtype, experts, rows):
    return {"counts": torch.full((2, experts), -7, dtype=torch.int32, device=device),
            "samples": torch.full((2, 2, rows, experts), 9.0, dtype=dtype, device=device),
            "slot": torch.full((1,), -1, dtype=torch.int32, device=device)}


def route_into(logits, plan, step, buffers):
    return ops.topk_route_into(logits, ops.Router(4), plan=plan, layer=1, step=step, counts=buffers["counts"][1],
                               samples=buffers["samples"][:, 1], slot=buffers["slot"])


@pytest.mark.parametrize("tokens,dtype", [*itertools.product((1, 16, 40, 64, 300), (torch.float32, torch.bfloat16))])
def test_a_captured_graph_follows_plan_padding_and_slot_into_an_engines_buffers(tokens, dtype):
    torch.manual_seed(8)
    logits = (torch.randn(tokens, 64, device=DEVICE) * 2).to(dtype)
    on, off = priced_plan(64, 4), priced_plan(64, 4, "cpu")
    step, step_off = ops.StepState(DEVICE), ops.StepState()
    buffers, wanted = (engine_buffers(device, dtype, 64, 12) for device in (DEVICE, "cpu"))
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        route_into(logits, on, step, buffers)
    side.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = route_into(logits, on, step, buffers)
    counts = set()
    for slot, price, share in ((0, 0.0, 1.0), (-1, 0.4, 1.0), (1, 0.9, 0.5), (0, float("inf"), 0.75), (7, 0.0, 0.5)):
        logits.copy_(torch.randn(tokens, 64) * 2)
        for plan, state, held in ((on, step, buffers), (off, step_off, wanted)):
            plan.activation_price.fill_(price)
            state.set(slot + 3, valid=int(tokens * share))
            held["slot"].fill_(slot)
        graph.replay()
        expected = route_into(logits.cpu(), off, step_off, wanted)
        for got, right in zip((*captured, buffers["counts"][1], buffers["samples"]),
                              (*expected, wanted["counts"][1], wanted["samples"])):
            torch.testing.assert_close(got.cpu(), right, rtol=0, atol=0)
        counts.add(tuple(wanted["counts"][1].tolist()))
    assert len(counts) == 5 or tokens == 1
    assert (buffers["counts"][0] == -7).all() and (buffers["samples"][:, 0] == 9).all()


def test_an_op_runs_after_what_its_stream_was_given():
    side, logits = torch.cuda.Stream(), torch.zeros(64, 64, device=DEVICE)
    wanted = torch.randn(64, 64, device=DEVICE)
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        torch.cuda._sleep(200_000_000)  # a tenth of a second, in which a wrong stream would read zeros
        logits.copy_(wanted)
        route = ops.topk_route(logits, ops.Router(4))
    side.synchronize()
    assert torch.equal(route.ids, ops.topk_route(wanted, ops.Router(4)).ids)


def test_a_layer_compiles_as_one_graph():
    plan, packed = priced_plan(8, 2), on_device(ops.pack_experts(*experts(6)))

    def layer(logits, hidden):
        route = ops.topk_route(logits * 2, ops.Router(2), plan=plan, layer=1, fill_slots=True)
        return ops.grouped_experts(hidden, route.weights, route.ids, packed).relu()

    given = torch.randn(16, 8, device=DEVICE), torch.randn(16, 64, device=DEVICE, dtype=torch.bfloat16)
    torch.testing.assert_close(torch.compile(layer, fullgraph=True, backend="aot_eager")(*given), layer(*given))


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices")
def test_ops_run_on_the_device_of_their_tensors_not_the_current_one():
    logits = torch.randn(16, 64)
    with torch.cuda.device(0):
        got = ops.topk_route(logits.to("cuda:1"), ops.Router(4))
        assert torch.cuda.current_device() == 0
    assert got.ids.device.index == 1
    assert torch.equal(got.ids.cpu(), ops.topk_route(logits, ops.Router(4)).ids)


def test_tensors_of_two_devices_and_experts_in_f32_are_refused():
    logits = torch.randn(4, 8, device=DEVICE)
    with pytest.raises(ValueError, match="plan is on cpu, logits on cuda:0; all tensors of a call are on one device"):
        ops.topk_route(logits, ops.Router(2), plan=priced_plan(8, 2, "cpu"))
    packed = on_device(ops.pack_experts(*experts(7), dtype=torch.float32))
    route = ops.topk_route(logits, ops.Router(2))
    with pytest.raises(ValueError, match="the cuda backend runs bf16 and int4 experts"):
        ops.grouped_experts(torch.randn(4, 64, device=DEVICE), route.weights, route.ids, packed)
