# SPDX-License-Identifier: Apache-2.0
"""vLLM for tests: THERMOE_VLLM names folders, a:b, that have it and what it imports; an unpacked wheel will do, as no test
needs its compiled ops. Import this before anything of vLLM; without one the importing test file skips, with the reason."""
import importlib
import os
import sys
import tempfile

import pytest
import torch

os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")  # vLLM compiles its grouped router
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
FOLDERS = [folder for folder in os.environ.get("THERMOE_VLLM", "").split(":") if folder]
sys.path[0:0] = FOLDERS
try:
    vllm = importlib.import_module("vllm")
except ImportError as error:
    pytest.skip(f"vLLM cannot be imported ({error}); THERMOE_VLLM names the folders of one and of what it imports",
                allow_module_level=True)
VERSION: str = vllm.__version__

torch.set_num_threads(1)


def _stand_in(score):
    """One of vLLM's compiled routing ops: weights, ids, source, logits, renormalise, bias, ... Of equal scores the lowest id."""
    def run(weights, ids, source, logits, renormalize, bias=None, *rest):
        scale = next((value for value in rest if isinstance(value, float)), 1.0)
        scores = score(logits.float())
        ranked = scores if bias is None else scores + bias
        picks = ranked.sort(dim=-1, descending=True, stable=True).indices[:, :ids.shape[1]]
        chosen = scores.gather(1, picks)
        weights.copy_((chosen / chosen.sum(-1, keepdim=True) if renormalize else chosen) * scale)
        ids.copy_(picks)
    return run


class _CompiledOps:
    topk_softmax = staticmethod(_stand_in(lambda logits: logits.softmax(-1)))
    topk_sigmoid = staticmethod(_stand_in(lambda logits: logits.sigmoid()))

    @staticmethod
    def topk_softplus_sqrt(weights, ids, source, logits, renormalize, scale, bias, *_):
        _stand_in(lambda given: torch.nn.functional.softplus(given).sqrt())(
            weights, ids, source, logits, renormalize, bias, scale)


torch.ops._moe_C = _CompiledOps()


def engine_config(**more):
    """A VllmConfig of the CPU, with groups of one rank."""
    from vllm.config import DeviceConfig, VllmConfig, set_current_vllm_config
    from vllm.distributed import parallel_state
    config = VllmConfig(device_config=DeviceConfig(device="cpu"), **more)
    if not parallel_state.model_parallel_is_initialized():
        with set_current_vllm_config(config):
            parallel_state.init_distributed_environment(
                world_size=1, rank=0, local_rank=0, backend="gloo",
                distributed_init_method="file://" + os.path.join(tempfile.mkdtemp(), "gloo"))
            parallel_state.initialize_model_parallel()
    return config


class _Quant:
    """What an experts' kernel says of itself: one that takes what a router says."""
    is_monolithic = False
    topk_indices_dtype = None
    supports_internal_mk = True
    skip_forward_padding = False
    has_unpadded_output = False
    mk_can_overlap_shared_experts = False


class Experts(torch.nn.Module):
    """In place of vLLM's RoutedExperts: keeps what it was given."""

    def __init__(self, layer_name, params_dtype, moe_config, quant_config, **_):
        super().__init__()
        self.quant_method, self.moe_config = _Quant(), moe_config
        self.seen = None

    def forward_modular(self, x, topk_weights, topk_ids, shared_experts, shared_experts_input):
        self.seen = (topk_weights, topk_ids)
        return x * topk_weights.sum(-1, keepdim=True)

    def _ensure_moe_quant_config_init(self):
        pass


def moe_layer(prefix, **arguments):
    """A real MoERunner, by vLLM's own factory, whose experts alone are a stand-in."""
    from vllm.model_executor.layers.fused_moe import layer
    make = getattr(layer, "FusedMoEFactory", None) or layer.FusedMoE
    defaults = {"num_experts": 32, "top_k": 4, "hidden_size": 64, "intermediate_size": 32, "params_dtype": torch.float32,
                "routed_experts_cls": Experts}
    return make(prefix=prefix, **{**defaults, **arguments})
