# SPDX-License-Identifier: Apache-2.0
"""The ops are what torch.compile and CUDA graphs take them for."""
import os
import sysconfig

import pytest
import torch

from thermoe import ops

# Inductor compiles C++ that includes Python.h.
HAS_PYTHON_H = os.path.exists(os.path.join(sysconfig.get_path("include"), "Python.h"))
BACKENDS = ["aot_eager", pytest.param("inductor", marks=pytest.mark.skipif(
    not HAS_PYTHON_H, reason="inductor needs Python.h (python3-dev)"))]


def plan(experts, k):
    priced = ops.DevicePlan(2, experts, k)
    priced.k_min.fill_(1)
    priced.activation_price.fill_(0.3)
    return priced


def step(valid):
    state = ops.StepState()
    state.set(3, valid=valid)
    return state


def experts():
    torch.manual_seed(1)
    return torch.randn(8, 32, 64) / 8, torch.randn(8, 32, 64) / 8, torch.randn(8, 64, 32) / 8


def samples():
    torch.manual_seed(2)
    route = torch.ops.thermoe.topk_route
    logits = torch.randn(5, 8)
    for op in (route.default, route.masked):
        yield op, (logits, 2), {}
        yield op, (logits.bfloat16(), 2), {"score": "sigmoid", "beta": torch.rand(8), "groups": 4, "groups_kept": 2}
        yield op, (logits, 2), {"plan": plan(8, 2).block, "layers": 2, "layer": 1, "step": step(4).tensor, "slots": 3}
    hidden = torch.randn(5, 64)
    weights, ids = ops.topk_route(logits, ops.Router(2))[:2]
    for dtype in (torch.float32, torch.bfloat16):
        packed = ops.pack_experts(*experts(), dtype=dtype)
        yield torch.ops.thermoe.grouped_experts.default, (hidden, weights, ids, *packed[:3]), {"d_ff": 32}
    int4 = ops.quantise_experts(*experts(), group=32)
    yield (torch.ops.thermoe.grouped_experts.int4,
           (hidden, weights, ids, *int4.gate[:3], *int4.up[:3], *int4.down[:3]), {"d_ff": 32})
    matrix = ops.quantise_int4(torch.randn(40, 64), 32, zero_point=True)
    yield torch.ops.thermoe.fused_dequant_linear.default, (hidden, *matrix), {"bias": torch.randn(40)}
    yield (torch.ops.thermoe.fused_dequant_linear.default, (hidden, *matrix),
           {"epilogue": "silu_mul", "up_words": matrix.words, "up_scales": matrix.scales,
            "up_zero_points": matrix.zero_points})


@pytest.mark.parametrize("op,given,named", [pytest.param(*sample, id=f"{sample[0]}-{i}") for i, sample in enumerate(samples())])
def test_opcheck(op, given, named):
    torch.library.opcheck(op, given, named)


class Layer(torch.nn.Module):
    """A whole expert layer, with something of torch's own around each op."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.gate = torch.nn.Linear(64, 8)
        self.router = ops.Router(k=2, score="sigmoid", scale=2.5)
        self.beta = torch.rand(8)
        self.plan = plan(8, 2)
        self.step = ops.StepState()
        self.packed = ops.pack_experts(*experts(), dtype=torch.float32)
        self.shared = ops.quantise_int4(torch.randn(64, 64) / 8, 32)

    def forward(self, hidden):
        given = {"beta": self.beta, "plan": self.plan, "layer": 1, "step": self.step}
        logits = self.gate(hidden * 2)
        route = ops.topk_route(logits, self.router, fill_slots=True, **given)
        masked = ops.masked_logits(logits, self.router, **given)
        routed = ops.grouped_experts(hidden, route.weights, route.ids, self.packed)
        shared = ops.fused_dequant_linear(hidden, self.shared, epilogue="gelu")
        return (routed + shared).relu(), masked.logits.sigmoid(), route.counts + masked.counts


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_layer_compiles_as_one_graph_and_reads_each_steps_plan(backend):
    layer = Layer().eval()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, dynamic=True, backend=backend)
    with torch.no_grad():
        for tokens, price in ((6, 0.3), (6, 0.9), (11, 0.0)):
            layer.plan.activation_price.fill_(price)
            layer.step.set(tokens, valid=tokens - 1)
            hidden = torch.randn(tokens, 64)
            torch.testing.assert_close(compiled(hidden), layer(hidden))


def test_a_layer_is_exported_with_its_ops():
    program = torch.export.export(Layer().eval(), (torch.randn(6, 64),))
    names = {str(node.target) for node in program.graph.nodes}
    assert {"thermoe.topk_route.default", "thermoe.topk_route.masked", "thermoe.grouped_experts.default",
            "thermoe.fused_dequant_linear.default"} <= names


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_captured_graph_routes_by_the_plan_of_each_replay():
    layer_plan, state = ops.DevicePlan(2, 8, 2, "cuda"), ops.StepState("cuda")
    layer_plan.k_min.fill_(1)
    packed = ops.pack_experts(*(m.cuda() for m in experts()))
    logits, hidden = torch.randn(16, 8, device="cuda"), torch.randn(16, 64, device="cuda", dtype=torch.bfloat16)

    def layer():
        route = ops.topk_route(logits, ops.Router(2), plan=layer_plan, layer=1, step=state)
        return route.counts, ops.grouped_experts(hidden, route.weights, route.ids, packed)

    layer()  # warm-up: attributes of kernels are set outside the capture
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        captured = layer()
    for price, valid in ((0.0, 16), (0.9, 16), (float("inf"), 3)):
        layer_plan.activation_price.fill_(price)
        state.set(valid=valid)
        graph.replay()
        for got, wanted in zip(captured, layer()):
            torch.testing.assert_close(got, wanted, rtol=0, atol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_on_a_device_the_ops_give_what_they_give_on_the_cpu():
    torch.manual_seed(4)
    logits, beta, priced = torch.randn(33, 64), torch.rand(64) / 5, plan(64, 4)
    on_device = ops.DevicePlan(2, 64, 4, "cuda")
    on_device.update(bytes(priced.block.tolist()))
    router = ops.Router(4, score="sigmoid", groups=8, groups_kept=4, scale=2.5)
    for op in (ops.topk_route, ops.masked_logits):
        for got, wanted in zip(op(logits.cuda(), router, beta=beta.cuda(), plan=on_device, layer=1),
                               op(logits, router, beta=beta, plan=priced, layer=1)):
            torch.testing.assert_close(got.cpu(), wanted, rtol=0, atol=0)
    x, matrix = torch.randn(5, 64).bfloat16(), ops.quantise_int4(torch.randn(40, 64), 32)
    got = ops.fused_dequant_linear(x.cuda(), ops.Int4Matrix(*(m.cuda() if torch.is_tensor(m) else m for m in matrix)))
    torch.testing.assert_close(got.cpu(), ops.fused_dequant_linear(x, matrix), rtol=2e-2, atol=2e-2)
