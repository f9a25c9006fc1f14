# SPDX-License-Identifier: Apache-2.0
"""vLLM's own engine core and scheduler on a CPU, with an executor that plays the workers."""
import json
import queue
import time

import numpy as np
import torch

from thermoe.plan_block import DevicePlan, StepState
from thermoe.routing import Router, route
from thermoe.vllm.messages import ModelFacts, SampledLogits, StepReport, give_reports, keep_facts, order_of
from thermoe.vllm.wrapping import STOCK


FACTS = ModelFacts(name="Qwen3MoeForCausalLM", layers=4, experts=128, router=Router(k=8, denominator="reference"),
                   selection_bias=None, d_model=2048, d_ff=768, gated=True, most_rows=8, gpu=None)


def remove_core_hooks():
    """Engines that are made from now on are vLLM's own."""
    from vllm.v1.engine.core import EngineCore
    EngineCore.__init__ = getattr(EngineCore.__init__, STOCK, EngineCore.__init__)


def import_vllm():
    """vLLM's module of the engine core. Skips the test's module where there is none."""
    global ModelRunnerOutput, AsyncModelRunnerOutput
    import vllm_here  # noqa: F401  finds it, or skips
    import vllm.v1.engine.core as core
    from vllm.v1.outputs import AsyncModelRunnerOutput, ModelRunnerOutput
    from vllm.platforms import current_platform
    if not current_platform.device_type:
        type(current_platform).device_type = "cpu"  # a wheel without its libraries knows no device
    return core


def _describe_without_importing():
    """A model's class needs vLLM's compiled library; what the scheduler wants to know of a decoder does not."""
    import dataclasses

    from vllm.model_executor.models import registry
    told = {"architecture": "Qwen3MoeForCausalLM", "is_text_generation_model": True, "attn_type": "decoder",
            "default_seq_pooling_type": "LAST", "default_tok_pooling_type": "ALL", "score_type": "bi-encoder", "supports_pp": True,
            "supported_video_pruning_methods": ()}
    info = registry._ModelInfo(**{field.name: told.get(field.name, False) for field in dataclasses.fields(registry._ModelInfo)})
    registry._LazyRegisteredModel.inspect_model_cls = lambda self: info


def configuration(folder, *, async_scheduling=False, max_num_seqs=8, additional_config=None, **more):
    """Of a Qwen3-MoE of two layers, that is nowhere loaded."""
    from vllm.engine.arg_utils import EngineArgs
    _describe_without_importing()
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 64, "intermediate_size": 64,
        "moe_intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
        "num_experts": 16, "num_experts_per_tok": 4, "decoder_sparse_step": 1, "mlp_only_layers": [], "norm_topk_prob": True,
        "vocab_size": 256, "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "tie_word_embeddings": False, "torch_dtype": "bfloat16"}))
    return EngineArgs(model=str(folder), skip_tokenizer_init=True, enforce_eager=True, max_num_seqs=max_num_seqs,
                      max_model_len=256, async_scheduling=async_scheduling,
                      enable_prefix_caching=False, additional_config=additional_config or {}, **more).create_engine_config()


class PlayedRank:
    """A worker's half of the plug-in, on the CPU: routes each step's tokens by the plan that it was sent, and reports."""

    def __init__(self, facts, seed=1):
        self.facts = facts
        self.generator = torch.Generator().manual_seed(seed)
        self.plan = DevicePlan(facts.layers, facts.experts, facts.router.k)
        self.state = StepState()
        self.version = None
        self.orders = []

    def run(self, order, step_time_s, mixed, launch_time_s=0.0):
        self.orders.append(order)
        if order.block is not None:
            self.plan.update(order.block)
            self.version = order.version
        self.state.set(order.number, order.valid_tokens, order.prefill)
        f = self.facts
        logits = 1.5 * torch.randn(f.layers, order.valid_tokens, f.experts, generator=self.generator)
        counts = torch.stack([route(logits[layer], f.router, plan=self.plan, layer=layer, step=self.state).counts
                              for layer in range(f.layers)])
        sampled = SampledLogits(logits.bfloat16().view(torch.int16).numpy().view(np.uint16), "bfloat16") if order.sample else None
        return StepReport(number=order.number, version=self.version, tokens=order.valid_tokens, rows=order.valid_tokens, mixed=mixed,
                          step_time_s=step_time_s, launch_time_s=launch_time_s, counts=counts.numpy(), logits=sampled)


class StartedWorker:
    """What vLLM's engine core asks of a worker when it starts."""

    def get_kv_cache_spec(self):
        from vllm.v1.kv_cache_interface import FullAttentionSpec
        return {"model.layers.0.self_attn.attn": FullAttentionSpec(block_size=16, num_kv_heads=2, head_size=16,
                                                                   dtype=torch.bfloat16)}

    def get_supported_kv_cache_layouts(self):
        return ["LBNHC"]

    def determine_available_memory(self):
        return 1 << 22

    def compile_or_warm_up_model(self):
        from vllm.v1.worker.worker_base import CompilationTimes
        return CompilationTimes(0.0, 0.0)

    def get_supported_tasks(self):
        return ("generate",)

    def _nothing(self, *_, **__):
        pass

    initialize_from_config = set_kv_cache_layout = update_max_model_len = reset_mm_cache = shutdown = _nothing


class PlayedWorker(StartedWorker):
    """A step takes `step_s` of a device of its own, as a GPU's stream."""

    def __init__(self, vllm_config):
        self.vllm_config = vllm_config
        self.asynchronous = vllm_config.scheduler_config.async_scheduling
        self.step_s = 0.004
        self.rank = None  # a PlayedRank; None: without the plug-in
        self.fails = None  # the next step's error
        self.starts = []  # of steps: when they were given to the device, and whether they read prompts
        self._device_free_at = 0.0
        self._scheduled = None
        self._unreported = []

    def execute_model(self, scheduler_output):
        if self.fails is not None:
            raise self.fails
        self._scheduled = scheduler_output
        if scheduler_output.total_num_scheduled_tokens == 0:
            return ModelRunnerOutput(req_ids=[], req_id_to_index={})
        now = time.monotonic()
        mixed = max(scheduler_output.num_scheduled_tokens.values()) > 1
        self.starts.append((now, mixed))
        self._device_free_at = max(now, self._device_free_at) + self.step_s
        return None

    def sample_tokens(self, grammar_output):
        scheduled, free_at = self._scheduled, self._device_free_at
        if self.rank is not None and (order := order_of(scheduled)) is not None:
            self._unreported.append(self.rank.run(order, self.step_s, self.starts[-1][1]))
        ids = list(scheduled.num_scheduled_tokens)
        output = ModelRunnerOutput(req_ids=ids, req_id_to_index={one: n for n, one in enumerate(ids)},
                                   sampled_token_ids=[[7] for _ in ids])
        if not self.asynchronous:
            self._wait(free_at)
            return self._reported(output)

        class Later(AsyncModelRunnerOutput):
            get_output = staticmethod(lambda: (self._wait(free_at), self._reported(output))[1])
            get_kv_connector_output = staticmethod(lambda: None)

        return Later()

    def _wait(self, until):
        time.sleep(max(0.0, until - time.monotonic()))

    def _reported(self, output):
        give_reports(output, self._unreported)
        self._unreported = []
        return output


def make_engine(core, vllm_config, *, process=False, rank=None, worker=None):
    """An EngineCore with a real scheduler, over a PlayedWorker with a PlayedRank, or over a worker of the test's.
    `process`: an EngineCoreProc without sockets and loop."""
    from vllm.v1.executor.uniproc_executor import UniProcExecutor

    class Executor(UniProcExecutor):
        def _init_executor(self):
            self.driver_worker = worker or PlayedWorker(vllm_config)
            if rank is not None:
                self.driver_worker.rank = rank
                keep_facts(self.driver_worker, rank.facts)

    class Process(core.EngineCoreProc):
        def __init__(self, *arguments):
            self.input_queue, self.output_queue = queue.Queue(), queue.Queue()
            self.engine_index, self.engines_running, self.process_input_queue_block = 0, False, True
            self.shutdown_state, self.reject_new_requests = core.EngineShutdownState.RUNNING, False
            self.publish_dp_lb_stats, self.has_coordinator, self.tensor_ipc_receiver = False, False, None
            core.EngineCore.__init__(self, *arguments)

    return (Process if process else core.EngineCore)(vllm_config, Executor, False)


def request(name, prompt=4, tokens=8):
    from vllm.sampling_params import SamplingParams
    from vllm.v1.engine import EngineCoreRequest
    return EngineCoreRequest(request_id=name, prompt_token_ids=list(range(1, prompt + 1)), mm_features=None,
                             sampling_params=SamplingParams(max_tokens=tokens, ignore_eos=True), pooling_params=None,
                             arrival_time=time.time(), lora_request=None, cache_salt=None, data_parallel_rank=None)


def add(engine, *requests):
    """As a client in the same process does."""
    for one in requests:
        engine.add_request(*engine.preprocess_add_request(one))
