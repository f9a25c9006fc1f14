# SPDX-License-Identifier: Apache-2.0
"""thermoe.attach where a model lies on a GPU: skipped without one."""
import pytest
import torch
from hf_attach_test import Asking, Experts, attach_to, priced
from small_models import CONFIGS, EXPERTS, K, LAYERS, decode, make, tokens

import thermoe

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


@pytest.mark.parametrize("name", sorted(CONFIGS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_on_a_gpu_is_priced_and_given_back(name, dtype):
    model, ids = make(name).to("cuda", dtype), tokens().cuda()
    before = decode(model, ids)
    recorded = Experts(model)
    with thermoe.attach(model, plan=thermoe.RoutingPlan.baseline(LAYERS, EXPERTS, K)):
        assert torch.equal(decode(model, ids), before)
    free = sum(len(indices.unique()) for indices, _ in recorded.calls)
    recorded.calls.clear()
    with thermoe.attach(model, plan=priced()):
        assert torch.isfinite(decode(model, ids)).all()
    assert sum(len(indices.unique()) for indices, _ in recorded.calls) < free
    recorded.remove()
    assert torch.equal(decode(model, ids), before)


def test_a_model_on_a_gpu_routes_as_on_the_cpu():
    ids = tokens()
    here, there = make("Mixtral"), make("Mixtral").cuda()
    with thermoe.attach(here, plan=priced()), thermoe.attach(there, plan=priced()):
        torch.testing.assert_close(decode(there, ids.cuda()).cpu(), decode(here, ids), rtol=1e-3, atol=1e-4)


def test_a_sample_and_the_steps_time_come_from_the_device_without_a_wait(monkeypatch):
    model, ids = make("Qwen3Moe").cuda(), tokens().cuda()
    source = Asking(priced())
    with attach_to(model, source, monkeypatch):
        decode(model, ids)
        torch.cuda.synchronize()
        decode(model, ids[:, :1])  # tells of what has ended meanwhile
    assert len(source.told) >= 5 and all(step["step_time_s"] > 0 for step in source.told)
    assert source.told[0]["logits"].device.type == "cpu" and source.told[0]["counts"].shape == (LAYERS, EXPERTS)
    assert 0 < int(source.told[0]["counts"].sum()) <= LAYERS * K * len(ids)


def test_a_compiled_model_follows_a_new_plan(monkeypatch):
    model, ids = make("Mixtral").to("cuda"), tokens().to("cuda")
    source = Asking(priced())
    source.sample_wanted = False
    with attach_to(model, source, monkeypatch):
        before = decode(model, ids)
        compiled = torch.compile(model, dynamic=True)
        torch.testing.assert_close(decode(compiled, ids), before, rtol=1e-3, atol=1e-4)
        source.plan, source.version = memoryview(priced(price=0.05).to_bytes()), 2
        torch.testing.assert_close(decode(compiled, ids), decode(model, ids), rtol=1e-3, atol=1e-4)
        assert not torch.allclose(decode(model, ids), before, rtol=1e-3, atol=1e-4)
    torch._dynamo.reset()
