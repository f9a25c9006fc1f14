# SPDX-License-Identifier: Apache-2.0
"""On recorded gate logits, our routing in a vLLM engine picks what vLLM's own compiled op picks. Needs a CUDA device and a
vLLM with its compiled ops; THERMOE_LOGITS names further files of router logits, a:b, beside the repository's trace."""
import os

import pytest
import torch

from thermoe import ops

custom_ops = pytest.importorskip("vllm._custom_ops", reason="needs a vLLM with its compiled ops", exc_type=ImportError)
pytestmark = pytest.mark.skipif(not (torch.cuda.is_available() and ops.built_with_cuda),
                                reason="needs a CUDA device and a package built with CUDA")


def recorded(source_dir, monkeypatch):
    """(file, k, [layers, rows, experts] bfloat16 on the device)."""
    monkeypatch.syspath_prepend(str(source_dir / "tools/vllm_proof"))
    import recorded_gate
    more = [path for path in os.environ.get("THERMOE_LOGITS", "").split(":") if path]
    for path in [source_dir / "data/traces/synthetic-e128-k8-b16.safetensors", *more]:
        k, logits = recorded_gate.read_logits(path)
        yield path, k, torch.from_numpy(logits).to("cuda", torch.bfloat16)


def vllms(logits, k):
    tokens = logits.shape[0]
    weights = torch.empty(tokens, k, dtype=torch.float32, device="cuda")
    ids, rows = (torch.empty(tokens, k, dtype=torch.int32, device="cuda") for _ in range(2))
    custom_ops.topk_softmax(weights, ids, rows, logits.contiguous(), True)
    return weights, ids


@pytest.mark.parametrize("tokens", [1, 16, 64, 256])
def test_ids_are_vllms_and_weights_within_two_ulp(source_dir, monkeypatch, tokens):
    for path, k, logits in recorded(source_dir, monkeypatch):
        layers, rows, experts = logits.shape
        plan, step = ops.DevicePlan(layers, experts, k, "cuda"), ops.StepState("cuda")
        counts, router = torch.zeros(experts, dtype=torch.int32, device="cuda"), ops.Router(k=k)
        for layer in range(layers):
            for first in range(0, rows - tokens + 1, tokens):
                batch = logits[layer, first:first + tokens]
                weights, ids = ops.topk_route_into(batch, router, plan=plan, layer=layer, step=step, counts=counts)
                theirs, their_ids = vllms(batch, k)
                where = f"{path}, layer {layer}, rows from {first}"
                assert torch.equal(ids, their_ids), where
                ulps = (weights.view(torch.int32) - theirs.view(torch.int32)).abs().max().item()
                assert ulps <= 2, f"{where}: {ulps} ulp"
                assert torch.equal(counts, torch.bincount(their_ids.flatten().long(), minlength=experts).int()), where
