# SPDX-License-Identifier: Apache-2.0
"""A recorded router in the place of a model's own: each token gets, in each MoE layer, the gate logits of one recorded token.

Which one follows from the request and the position alone, row = hash(request, position), so every strategy meets the same
ones. The rows of a step are worked out where its inputs are prepared and copied to one buffer at a fixed address before the
graphs replay; in a layer the router's logits are a gather of that buffer's rows, captured as any kernel is. Stock vLLM's
routers and the plug-in's get them alike.

`install` before the engine is made, in the process that it runs in.
"""
import functools
import json
import pathlib
import struct
import zlib

import numpy as np

_RING = 8  # pinned copies of the rows: more than steps are under way


def read_logits(path):
    """(k, [layers, rows, experts] float32) of a file of router logits [samples, layers, tokens, experts]. Raises ValueError
    naming what is wrong."""
    path = pathlib.Path(path)
    data = path.read_bytes()
    try:
        size, = struct.unpack_from("<Q", data)
        header = json.loads(data[8:8 + size])
        tensor = header["router_logits"]
        begin, end = tensor["data_offsets"]
        samples, layers, tokens, experts = tensor["shape"]
        k = int(header["__metadata__"]["k"])
        if tensor["dtype"] != "F32":
            raise ValueError(f"dtype {tensor['dtype']}, expected F32")
        values = np.frombuffer(data, np.float32, (end - begin) // 4, 8 + size + begin).reshape(samples, layers, tokens, experts)
    except (KeyError, ValueError, struct.error) as error:
        raise ValueError(f"{path}: no file of router logits [samples, layers, tokens, experts] ({error})") from error
    return k, np.ascontiguousarray(values.transpose(1, 0, 2, 3)).reshape(layers, samples * tokens, experts)


@functools.lru_cache(maxsize=4096)
def _seed(name):
    return zlib.crc32(name.encode())


def rows_of(names, firsts, counts, rows):
    """Of a step's tokens in their order, which recorded token each is: by request its name, its first position, its tokens."""
    counts = np.asarray(counts)
    before = np.concatenate(([0], np.cumsum(counts)[:-1]))
    positions = np.repeat(np.asarray(firsts) - before, counts) + np.arange(counts.sum())
    seeds = np.repeat(np.fromiter(map(_seed, names), np.uint64, len(names)), counts)
    with np.errstate(over="ignore"):  # splitmix64
        mixed = positions.astype(np.uint64) + seeds * np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ((mixed ^ (mixed >> np.uint64(31))) % np.uint64(rows)).astype(np.int64)


class RecordedGate:
    """The recorded logits on the device, and which rows of them the next step's tokens have."""

    def __init__(self, logits, most_tokens, device, dtype):
        import torch
        with torch.inference_mode(False):
            self.table = torch.from_numpy(logits.copy()).to(device=device, dtype=dtype)
            self.rows = torch.zeros(most_tokens, dtype=torch.int64, device=device)
            pinned = torch.device(device).type == "cuda"
            self._ring = [torch.zeros(most_tokens, dtype=torch.int64, pin_memory=pinned) for _ in range(_RING)]
        self._turn = 0

    @property
    def recorded(self):
        return self.table.shape[1]

    def set(self, rows):
        """Of the step that is enqueued next, in torch's current stream. Waits for nothing."""
        import torch
        staging = self._ring[self._turn % _RING][:len(rows)]
        self._turn += 1
        staging.copy_(torch.from_numpy(rows))
        self.rows[:len(rows)].copy_(staging, non_blocking=True)

    def logits(self, layer, tokens):
        """[tokens, experts]"""
        return self.table[layer].index_select(0, self.rows[:tokens])


def install(path, name_of):
    """Has each model that is loaded from now on route by the file's logits. `name_of(engine's request id)` is what is hashed."""
    from vllm.model_executor.layers.fused_moe.router.fused_moe_router import FusedMoERouter
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner
    from vllm.v1.worker.gpu_worker import Worker

    _, logits = read_logits(path)
    gates = {}  # by id of the runner's router

    def around(owner, name, make):
        stock = getattr(owner, name)
        setattr(owner, name, functools.wraps(stock)(make(stock)))

    def loading(stock):
        def load_model(self, *arguments, **keywords):
            result = stock(self, *arguments, **keywords)
            _give(self, logits, gates)
            return result
        return load_model

    def preparing(stock):
        def _prepare_inputs(self, scheduler_output, num_scheduled_tokens):
            result = stock(self, scheduler_output, num_scheduled_tokens)
            gate = getattr(self, "recorded_gate", None)
            if gate is not None:
                batch, requests = self.input_batch, len(num_scheduled_tokens)
                names = [name_of(request) for request in batch.req_ids[:requests]]
                gate.set(rows_of(names, batch.num_computed_tokens_cpu[:requests], num_scheduled_tokens, gate.recorded))
            return result
        return _prepare_inputs

    def selecting(stock):
        def select_experts(self, hidden_states, router_logits, *arguments, **keywords):
            layer, gate = gates.get(id(self), (0, None))
            if gate is not None:
                router_logits = gate.logits(layer, router_logits.shape[0])
            return stock(self, hidden_states, router_logits, *arguments, **keywords)
        return select_experts

    around(Worker, "load_model", loading)
    around(GPUModelRunner, "_prepare_inputs", preparing)
    around(FusedMoERouter, "select_experts", selecting)


def _give(worker, logits, gates):
    """A loaded model's layers, in its order, get the recorded ones of theirs."""
    import torch
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner
    from vllm.v1.worker.gpu_model_runner import GPUModelRunner

    runner, config = worker.model_runner, worker.vllm_config
    routers = [module.router for module in runner.get_model().modules() if isinstance(module, MoERunner)]
    experts = {router.global_num_experts for router in routers}
    if (len(routers), experts) != (logits.shape[0], {logits.shape[2]}):
        raise ValueError(f"the recorded router has {logits.shape[0]} layers of {logits.shape[2]} experts, the model "
                         f"{len(routers)} of {sorted(experts)}")
    if not isinstance(runner, GPUModelRunner):
        raise RuntimeError("this vLLM runs the model by another runner, whose steps are not known here: set "
                           "VLLM_USE_V2_MODEL_RUNNER=0")
    gate = RecordedGate(logits, config.scheduler_config.max_num_batched_tokens, torch.device(worker.device), torch.bfloat16)
    runner.recorded_gate = gate
    gates.update({id(router): (layer, gate) for layer, router in enumerate(routers)})
