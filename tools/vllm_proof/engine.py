# SPDX-License-Identifier: Apache-2.0
"""The engine of a proof: vLLM with random weights of a model's shape, in this process, and what it says of itself."""
import hashlib
import json
import pathlib
import platform
import sys
import tempfile
import time

import figures
import trace_costs
from arrivals import number_of, prompt
from run_folders import BadInput, card_id, write_json
from vllm_capped import SHAPE, VOCABULARY, graphs_captured, randomise

QWEN = {"part": "qwen3-30b-a3b", "costed_as": "Qwen3-30B-A3B",
        "shape": {**SHAPE, "num_hidden_layers": 48, "max_window_layers": 48}}
TRACE = {"part": "gpt-oss-20b-trace", "costed_as": trace_costs.NAME,
         "shape": {**SHAPE, "num_hidden_layers": 24, "max_window_layers": 24, "num_experts": 32, "num_experts_per_tok": 4,
                   "hidden_size": 2880, "moe_intermediate_size": 2880, "intermediate_size": 8640, "num_attention_heads": 64,
                   "num_key_value_heads": 8}}
PROMPT, LENGTH, BATCH_LIMIT = 32, 256, 64
PROBE = (16, 192)  # requests and tokens of the greedy probe
PROFILED = 20  # decode steps whose kernels are timed


def make_engine(model, trace, more):
    """`trace`: a file of router logits that are played; `more`: arguments of LLM() to add or replace."""
    import vllm

    if trace:
        import recorded_gate
        recorded_gate.install(trace, number_of)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="vllm_proof_"))
    write_json(folder / "config.json", model["shape"])
    arguments = {"model": str(folder), "load_format": "dummy", "skip_tokenizer_init": True, "dtype": "bfloat16", "seed": 0,
                 "max_num_seqs": BATCH_LIMIT, "max_model_len": 2048, "max_num_batched_tokens": 2048,
                 "gpu_memory_utilization": 0.88, "enable_prefix_caching": False, "disable_log_stats": True}
    llm = vllm.LLM(**{**arguments, **more})
    llm.apply_model(randomise)
    return llm


def sampling(**more):
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind
    return SamplingParams(ignore_eos=True, detokenize=False, output_kind=RequestOutputKind.DELTA, **more)


def adding(engine):
    """What gives the engine a request of a turn's, by its id and its name."""
    params = sampling(temperature=1.0, max_tokens=LENGTH)

    def add(key, name):
        engine.add_request(key, {"prompt_token_ids": prompt(name, PROMPT, VOCABULARY)}, params)
    return add


def probe(engine):
    """Greedy tokens of requests that run in lockstep, and the time of a step. The first pass is for what is compiled then."""
    for turn in ("warm", "probe"):
        params, tokens, times = sampling(temperature=0.0, max_tokens=PROBE[1]), {}, []
        for number in range(PROBE[0]):
            name = f"{turn}/probe.{number}"
            tokens[name] = []
            engine.add_request(name, {"prompt_token_ids": prompt(f"probe.{number}", PROMPT, VOCABULARY)}, params)
        before = time.perf_counter()
        while engine.has_unfinished_requests():
            outputs = engine.step()
            for output in outputs:
                tokens[output.request_id].extend(output.outputs[0].token_ids)
            if outputs:  # an asynchronous engine gives none where it only fills its queue
                now = time.perf_counter()
                times.append(now - before)
                before = now
    rows = list(tokens.values())
    return {"tokens": rows, "sha256": hashlib.sha256(json.dumps(rows).encode()).hexdigest(),
            "ms_a_step": 1e3 * figures.quantile(times, 0.5)}


def thermoe_there():
    """What of the package is in this process: nothing, imported alone, or vLLM's names wrapped."""
    if not any(name.split(".")[0] == "thermoe" for name in sys.modules):
        return "not imported"
    from vllm.v1.engine.core import EngineCore
    from vllm.v1.worker.gpu_worker import Worker
    names = (EngineCore.__init__, Worker.load_model, Worker.execute_model)
    wrapped = any(hasattr(function, "thermoe_stock") for function in names)
    return "vLLM's names are wrapped" if wrapped else "imported, nothing of the engine is wrapped"


def facts_of(llm, gpu):
    """The GPU, the card as a hash, versions, graphs. Raises BadInput where the meter reads another GPU."""
    import torch
    said = gpu.facts()
    uuid = said.pop("uuid")
    if uuid and str(torch.cuda.get_device_properties(0).uuid).removeprefix("GPU-") not in uuid:
        raise BadInput("the engine is on another GPU than the meter reads; give --gpu NVML's index of the engine's")
    return {**said, "card": card_id(uuid) if uuid else None, **made_of(llm), "graphs_captured": graphs_captured()}


def kernels(engine):
    """[[µs a decode step, launches a step, name]] of the GPU's kernels and copies, the longest first, of PROBE's requests."""
    import torch
    from torch.profiler import ProfilerActivity, profile

    def decode(steps):
        while steps and engine.has_unfinished_requests():
            steps -= bool(engine.step())

    params = sampling(temperature=0.0, max_tokens=PROFILED + 16)
    for number in range(PROBE[0]):
        engine.add_request(f"kernels/{number}", {"prompt_token_ids": prompt(f"probe.{number}", PROMPT, VOCABULARY)}, params)
    decode(8)  # prompts, and decode steps
    with profile(activities=[ProfilerActivity.CUDA]) as seen:
        decode(PROFILED)
        torch.cuda.synchronize()
    decode(-1)
    rows = [(event.self_device_time_total / PROFILED, event.count / PROFILED, event.key[:120]) for event in seen.key_averages()]
    return [[round(us, 2), round(count, 2), name] for us, count, name in sorted(rows, reverse=True) if us > 0]


def made_of(llm):
    """Versions, and how the engine was configured."""
    import torch
    import vllm
    config = llm.llm_engine.vllm_config
    compilation = config.compilation_config
    return {"vllm": vllm.__version__, "torch": torch.__version__, "python": platform.python_version(), "thermoe": thermoe_there(),
            "graph_sizes": sorted(compilation.cudagraph_capture_sizes or []), "cudagraph_mode": str(compilation.cudagraph_mode),
            "async_scheduling": config.scheduler_config.async_scheduling}
