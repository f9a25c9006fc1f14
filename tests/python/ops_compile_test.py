# SPDX-License-Identifier: Apache-2.0
"""The ops are what torch.compile and torch.export take them for."""
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
    buffers = {"samples": torch.zeros(2, 3, 4, 8)[:, 1], "slot": torch.tensor([1], dtype=torch.int32)}
    counts = torch.zeros(3, 8, dtype=torch.int32)[2]
    priced = {"plan": plan(8, 2).block, "layers": 2, "layer": 1, "step": step(4).tensor}
    yield route.into, (logits, 2, counts), {}
    yield route.into, (logits, 2, counts), {**priced, **buffers}
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


class EngineLayer(torch.nn.Module):
    """Routes into buffers of its own, among other layers'."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.gate = torch.nn.Linear(64, 8)
        self.plan = plan(8, 2)
        self.step = ops.StepState()
        self.register_buffer("counts", torch.zeros(3, 8, dtype=torch.int32))
        self.register_buffer("samples", torch.zeros(2, 3, 4, 8))
        self.register_buffer("slot", torch.tensor([-1], dtype=torch.int32))
        self.packed = ops.pack_experts(*experts(), dtype=torch.float32)

    def forward(self, hidden):
        weights, ids = ops.topk_route_into(self.gate(hidden), ops.Router(2), plan=self.plan, layer=1, step=self.step,
                                           counts=self.counts[1], samples=self.samples[:, 1], slot=self.slot)
        return ops.grouped_experts(hidden, weights, ids, self.packed).relu()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_compiled_layer_writes_an_engines_buffers_as_an_eager_one(backend):
    layer, wanted = EngineLayer().eval(), EngineLayer().eval()
    torch._dynamo.reset()
    compiled = torch.compile(layer, fullgraph=True, backend=backend)
    with torch.no_grad():
        for slot, price in ((-1, 0.3), (0, 0.9), (1, 0.0), (0, 0.3)):
            hidden = torch.randn(6, 64)
            for one in (layer, wanted):
                one.plan.activation_price.fill_(price)
                one.step.set(3, valid=5)
                one.slot.fill_(slot)
            torch.testing.assert_close(compiled(hidden), wanted(hidden))
            assert torch.equal(layer.counts, wanted.counts) and layer.counts[1].sum() > 0
            torch.testing.assert_close(layer.samples, wanted.samples)
    assert (layer.samples[:, 1] != 0).all() and (layer.samples[:, ::2] == 0).all()


def test_a_layer_is_exported_with_its_ops():
    program = torch.export.export(Layer().eval(), (torch.randn(6, 64),))
    names = {str(node.target) for node in program.graph.nodes}
    assert {"thermoe.topk_route.default", "thermoe.topk_route.masked", "thermoe.grouped_experts.default",
            "thermoe.fused_dequant_linear.default"} <= names
