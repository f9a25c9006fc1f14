# SPDX-License-Identifier: Apache-2.0
"""SGLang for tests: THERMOE_SGLANG names folders, a:b, that have it and what it imports; an unpacked wheel will do, as no test
needs its compiled ops. Import this before anything of SGLang; without one the importing test file skips, with the reason."""
import importlib
import os
import sys

import pytest
import torch

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # SGLang compiles its grouped routing
FOLDERS = [folder for folder in os.environ.get("THERMOE_SGLANG", "").split(":") if folder]
sys.path[0:0] = FOLDERS
try:
    sglang = importlib.import_module("sglang")
    topk = importlib.import_module("sglang.srt.layers.moe.topk")
except ImportError as error:
    pytest.skip(f"SGLang cannot be imported ({error}); THERMOE_SGLANG names the folders of one and of what it imports",
                allow_module_level=True)
VERSION: str = sglang.__version__

torch.set_num_threads(1)

EXPERTS, K = 32, 4


class Gate(torch.nn.Module):
    """In a MoE block's place: a TopK of SGLang's, and what says how large the experts are."""

    def __init__(self, layer_id, experts=EXPERTS, **config):
        super().__init__()
        self.topk = make_topk(layer_id, **config)
        self.experts = torch.nn.Identity()
        runner = importlib.import_module("sglang.srt.layers.moe.moe_runner.base")
        self.experts.moe_runner_config = runner.MoeRunnerConfig(num_experts=experts, hidden_size=64,
                                                                intermediate_size_per_partition=48)

    def forward(self, logits):
        """Weights and ids, as SGLang's own TopK makes them of logits."""
        return self.topk.forward_native(torch.zeros(len(logits), 64), logits)


class Model(torch.nn.Module):
    def __init__(self, layers=3, **config):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.layers = torch.nn.ModuleList(Gate(n, **config) for n in range(layers))


def make_topk(layer_id, **config):
    """A TopK whose configuration is SGLang's; its constructor would ask for an engine's."""
    made = object.__new__(topk.TopK)
    torch.nn.Module.__init__(made)
    made.layer_id, made.is_draft, made.enable_waterfill, made.waterfill_balancer = layer_id, True, False, None
    made.topk_config = topk.TopKConfig(**{
        "top_k": K, "layer_id": layer_id, "output_format": topk.TopKOutputFormat.STANDARD, "torch_native": True, **config})
    return made
