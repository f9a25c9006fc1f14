# SPDX-License-Identifier: Apache-2.0
"""Which vLLM, and which engines of it, the plug-in serves: the rest is refused by name, and never served unnoticed."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..engine import known

#: Versions that were looked at, and what is known of each.
RUN_ON_A_GPU = ("0.25.1",)
SIGNATURES_CHECKED = ("0.33.0",)


_ROUTERS = "vllm.model_executor.layers.fused_moe.router"
#: Names that are not vLLM's public interface and that the workers' half wraps or calls, with their parameters.
WORKER_SIGNATURES = {
    "vllm.v1.worker.gpu_worker:Worker.load_model": ("self", "load_dummy_weights"),
    "vllm.v1.worker.gpu_worker:Worker.execute_model": ("self", "scheduler_output"),
    "vllm.v1.worker.gpu_worker:Worker.sample_tokens": ("self", "grammar_output"),
    f"{_ROUTERS}.base_router:BaseRouter.__init__": ("self", "top_k", "global_num_experts", "eplb_state"),
    f"{_ROUTERS}.base_router:BaseRouter._compute_routing":
        ("self", "hidden_states", "router_logits", "indices_type", "input_ids"),
}
#: What is made with parameters that are read again as attributes; they have others besides.
ROUTER_PARAMETERS = {
    "vllm.model_executor.layers.fused_moe.layer:create_fused_moe_router":
        ("top_k", "global_num_experts", "eplb_state", "num_logical_experts"),
    f"{_ROUTERS}.fused_topk_router:FusedTopKRouter.__init__": ("scoring_func", "renormalize"),
    f"{_ROUTERS}.fused_topk_bias_router:FusedTopKBiasRouter.__init__":
        ("scoring_func", "renormalize", "e_score_correction_bias", "routed_scaling_factor", "hash_indices_table",
         "num_fused_shared_experts"),
    f"{_ROUTERS}.grouped_topk_router:GroupedTopKRouter.__init__":
        ("scoring_func", "renormalize", "e_score_correction_bias", "routed_scaling_factor", "num_expert_group",
         "topk_group", "num_fused_shared_experts"),
}


def check_version(version: str) -> str | None:
    """What the log is to say of a known version; None: nothing. Raises UnsupportedEngineError for any other."""
    return known.check_version("vLLM", version, run=RUN_ON_A_GPU, checked=SIGNATURES_CHECKED, without=(
        "take THERMOE_CONFIG and the key thermoe of --additional-config away"))


def check_signatures(signatures: Mapping[str, tuple[str, ...]], *, others: bool = False) -> None:
    """Raises UnsupportedEngineError where a name of vLLM's is not what it was."""
    known.check_signatures("vLLM", signatures, others=others)


def check_engine(config: Any) -> list[str]:
    """What the log is to warn of in an engine of this VllmConfig. Raises UnsupportedEngineError, naming all that is in
    the way."""
    return known.check_engine(_refusals(config), _warnings(config))


def _refusals(config: Any) -> list[tuple[bool, str, str]]:
    import vllm.envs as envs
    parallel, model = config.parallel_config, config.model_config
    aux = getattr(config, "aux_output_config", None)  # from 0.33 on; in the model's configuration before
    returned = any(getattr(part, "enable_return_routed_experts", False) for part in (model, aux))
    return [
        (config.speculative_config is not None or getattr(config, "num_speculative_tokens", 0) > 0,
         "speculative decoding", "a priced model accepts fewer drafts, and rows of drafts are no tokens; leave "
         "--speculative-config out"),
        (bool(envs.VLLM_BATCH_INVARIANT), "batch-invariant mode", "prices make a token's experts depend on its batch; "
         "unset VLLM_BATCH_INVARIANT"),
        (returned, "routed experts are returned", "reinforcement learning replays a model's own routing; leave "
         "--enable-return-routed-experts out"),
        (envs.VLLM_MOE_ROUTING_SIMULATION_STRATEGY != "", "simulated routing", "unset "
         "VLLM_MOE_ROUTING_SIMULATION_STRATEGY"),
        (parallel.data_parallel_size > 1, f"data_parallel_size {parallel.data_parallel_size}", "routers see other "
         "ranks' rows; serve each replica by an engine of its own"),
        (parallel.pipeline_parallel_size > 1, f"pipeline_parallel_size {parallel.pipeline_parallel_size}", "a rank has "
         "some of the layers only; use --tensor-parallel-size"),
        (parallel.prefill_context_parallel_size > 1, "prefill context parallelism", "ranks have different rows; set "
         "--prefill-context-parallel-size 1"),
        (bool(parallel.use_sequence_parallel_moe), "sequence-parallel MoE", "ranks route different rows; choose "
         "another --all2all-backend, or serve without expert parallelism"),
        (bool(parallel.use_ubatching), "dual batch overlap", "a step's rows are routed in two halves; leave "
         "--enable-dbo out"),
        (bool(getattr(parallel, "enable_elastic_ep", False)), "elastic expert parallelism", "routers are rebuilt while "
         "serving; leave --enable-elastic-ep out"),
        (config.lora_config is not None, "LoRA", "adapters change the experts' kernels; leave --enable-lora out"),
    ]


def _warnings(config: Any) -> list[tuple[bool, str]]:
    model = config.model_config
    return [
        (bool(config.parallel_config.enable_eplb), "EPLB balances the load that prices leave; it was not run together "
         "with them"),
        (bool(getattr(model, "enable_sleep_mode", False)), "sleep mode was not run together with thermoe"),
    ]
