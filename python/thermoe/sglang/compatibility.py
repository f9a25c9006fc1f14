# SPDX-License-Identifier: Apache-2.0
"""Which SGLang, and which engines of it, the plug-in serves: the rest is refused by name, and never served unnoticed."""
from __future__ import annotations

import os
from typing import Any

from ..engine import known

#: Versions that were looked at; none was run on a GPU.
SIGNATURES_CHECKED = ("0.5.23",)

_SCHEDULER = "sglang.srt.managers.scheduler:Scheduler"
_RUNNER = "sglang.srt.model_executor.model_runner:ModelRunner"
_TOPK = "sglang.srt.layers.moe.topk"
#: Names that are not SGLang's public interface and that are hooked or called, with their parameters.
SIGNATURES = {
    f"{_SCHEDULER}.__init__": ("self", "server_args", "port_args"),
    f"{_SCHEDULER}.run_event_loop": ("self",),
    f"{_SCHEDULER}.ingest_requests": ("self", "stop_at_pause"),
    f"{_SCHEDULER}.handle_generate_request": ("self", "recv_req", "mm_input_error"),
    f"{_SCHEDULER}.process_batch_result": ("self", "batch", "result"),
    f"{_SCHEDULER}.on_idle": ("self",),
    f"{_RUNNER}.initialize": ("self",),
    f"{_RUNNER}.forward": ("self", "forward_batch", "skip_attn_backend_init", "pp_proxy_tensors", "reinit_attn_backend",
                           "split_forward_count"),
}
#: What has these parameters, and others besides.
PARAMETERS = {
    f"{_TOPK}:select_experts": ("hidden_states", "router_logits", "topk_config", "layer_id"),
    f"{_TOPK}:TopKConfig.__init__": (
        "top_k", "use_grouped_topk", "topk_group", "num_expert_group", "renormalize", "shared_experts",
        "custom_routing_function", "correction_bias", "routed_scaling_factor", "apply_routed_scaling_factor_on_output",
        "output_format", "scoring_func", "sqrtsoftplus_log1p", "allow_routed_experts_capture"),
}


def check_version(version: str) -> str | None:
    """What the log is to say of a known version. Raises UnsupportedEngineError for any other."""
    return known.check_version("SGLang", version, run=(), checked=SIGNATURES_CHECKED, without="unset THERMOE_CONFIG")


def check_signatures() -> None:
    """Raises UnsupportedEngineError where a name of SGLang's is not what it was."""
    known.check_signatures("SGLang", SIGNATURES)
    known.check_signatures("SGLang", PARAMETERS, others=True)


def check_engine(arguments: Any) -> list[str]:
    """What the log is to warn of in an engine of these ServerArgs. Raises UnsupportedEngineError, naming all that is in the
    way."""
    return known.check_engine(_refusals(arguments), _warnings(arguments))


def _refusals(a: Any) -> list[tuple[bool, str, str]]:
    simulated = [name for name in ("SGLANG_SIMULATE_UNIFORM_EXPERTS", "SGLANG_SIMULATE_ROUND_ROBIN_EXPERTS")
                 if os.environ.get(name, "").lower() in ("1", "true", "yes", "y")]
    parallel = [name for name in ("tp_size", "pp_size", "dp_size", "ep_size", "attn_cp_size", "dcp_size", "nnodes")
                if (getattr(a, name) or 1) > 1]
    return [
        (bool(parallel), ", ".join(f"{name} {getattr(a, name)}" for name in parallel), "each of SGLang's ranks schedules for "
         "itself, and plans do not travel between them yet; serve on one GPU"),
        (a.speculative_algorithm is not None, "speculative decoding", "a priced model accepts fewer drafts, and rows of drafts "
         "are no tokens; leave --speculative-algorithm out"),
        (bool(a.enable_deterministic_inference or a.rl_on_policy_target), "deterministic inference", "prices make a token's "
         "experts depend on its batch; leave --enable-deterministic-inference and --rl-on-policy-target out"),
        (bool(a.enable_return_routed_experts), "routed experts are returned", "reinforcement learning replays a model's own "
         "routing; leave --enable-return-routed-experts out"),
        (bool(simulated), "simulated routing", f"unset {', '.join(simulated)}"),
        ((a.disaggregation_mode or "null") != "null" or bool(a.enable_pd_role_switch), "disaggregation", "its event loops are "
         "others; leave --disaggregation-mode out"),
        (bool(a.enable_pdmux), "prefill and decode in one step", "leave --enable-pdmux out"),
        (a.dllm_algorithm is not None, "a diffusion model", "it decodes no token a step; leave --dllm-algorithm out"),
        (bool(a.enable_two_batch_overlap), "two-batch overlap", "a step's rows are routed in two halves; leave "
         "--enable-two-batch-overlap out"),
        ((a.moe_a2a_backend or "none") != "none", f"moe_a2a_backend {a.moe_a2a_backend}", "ranks route different rows; leave "
         "--moe-a2a-backend out"),
        (bool(a.enable_waterfill), "waterfill", "it rewrites what routers pick; leave --enable-waterfill out"),
        (a.elastic_ep_backend is not None, "elastic expert parallelism", "leave --elastic-ep-backend out"),
        (bool(a.enable_lora or a.lora_paths), "LoRA", "adapters change the experts' kernels; leave --enable-lora and "
         "--lora-paths out"),
        (bool(a.enable_torch_compile), "torch.compile", "a compiled program was not tried; leave --enable-torch-compile out"),
        (bool(a.enable_nvidia_megakernel), "the megakernel", "it routes by itself; leave --enable-nvidia-megakernel out"),
    ]


def _warnings(a: Any) -> list[tuple[bool, str]]:
    return [
        (bool(a.enable_eplb), "EPLB balances the load that prices leave; it was not run together with them"),
        (bool(a.enable_memory_saver), "the memory saver was not run together with thermoe"),
    ]
