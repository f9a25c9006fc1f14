# SPDX-License-Identifier: Apache-2.0
"""A real Worker of vLLM without a GPU: its model runner is played, with MoE layers by vLLM's own factory."""
import contextlib

import torch
from vllm.forward_context import set_forward_context
from vllm.v1.outputs import EMPTY_MODEL_RUNNER_OUTPUT, AsyncModelRunnerOutput, ModelRunnerOutput
from vllm.v1.worker import gpu_worker
from vllm_here import moe_layer

LAYERS, EXPERTS, K, ROWS = 3, 32, 4, 16


class Model(torch.nn.Module):
    def __init__(self, **arguments):
        super().__init__()
        self.layers = torch.nn.ModuleList(moe_layer(f"model.layers.{n}.mlp.experts", **arguments) for n in range(LAYERS))


class Async(AsyncModelRunnerOutput):
    """An output that is made later, by another thread."""

    def __init__(self, output):
        self.output = output

    def get_output(self):
        return self.output

    def get_kv_connector_output(self):
        return None


class Runner:
    """In place of vLLM's model runner: real layers, and steps that route random logits by them."""
    is_pooling_model = False

    def __init__(self, config, make=Model, experts=EXPERTS, asynchronous=False, dtype=torch.bfloat16):
        self.config, self.make, self.experts, self.asynchronous, self.dtype = config, make, experts, asynchronous, dtype
        self.fails = False
        self.steps = 0

    def load_model(self, load_dummy_weights):
        self.model = self.make()

    def get_model(self):
        return self.model

    def logits(self, rows):
        return torch.randn(rows, self.experts, generator=torch.Generator().manual_seed(self.steps)).to(self.dtype)

    def execute_model(self, scheduler_output, intermediate_tensors):
        tokens = scheduler_output.total_num_scheduled_tokens
        if tokens == 0:
            return EMPTY_MODEL_RUNNER_OUTPUT
        if self.fails:
            raise RuntimeError("the model fails")
        self.steps += 1
        self.scheduled = scheduler_output
        self.run(tokens + 3)  # padded, as a captured graph's rows are
        return None

    def run(self, rows):
        """As vLLM's warm-up does it, too, by the runner alone."""
        with set_forward_context(None, self.config):
            for layer in self.model.layers:
                layer._apply_quant_method(torch.zeros(rows, 64), self.logits(rows), None)

    def sample_tokens(self, grammar_output):
        names = list(self.scheduled.num_scheduled_tokens)
        output = ModelRunnerOutput(req_ids=names, req_id_to_index={name: n for n, name in enumerate(names)},
                                   sampled_token_ids=[[7] for _ in names])
        return Async(output) if self.asynchronous else output


def make_worker(config, kind=gpu_worker.Worker, **runner):
    """Of an engine's configuration; its model is yet to be loaded."""
    worker = object.__new__(kind)
    worker.__dict__.update(
        vllm_config=config, device=torch.device("cpu"), use_v2_model_runner=True, _pp_send_work=[],
        annotate_profile=lambda _: contextlib.nullcontext(),
        _maybe_get_memory_pool_context=lambda tag: contextlib.nullcontext(),
        _scoped_allocator_max_split=lambda max_split_size_mb: contextlib.nullcontext(), model_runner=Runner(config, **runner))
    return worker
