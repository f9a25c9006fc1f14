#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Decodes on vLLM, greedily and in lockstep: time of a step, experts a layer, watts, and whether tokens are a run's.

    python3 examples/vllm_capped.py MODEL                                        stock, where THERMOE_CONFIG is not set
    THERMOE_CONFIG=cap.json python3 examples/vllm_capped.py MODEL                under what cap.json asks
    ... --json plain.json --against stock.json                                   where tokens first differ from a run's
    ... --then '{"plan": {"price": 0.3}}'                                        decodes again under these settings

MODEL is a folder or a name; `qwen3-30b-a3b` stands for its shape with random weights (--layers of them). The settings
that --then gives are written to the file that THERMOE_CONFIG names, while the engine serves: a changed plan needs no
new engine or graph.
"""
import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # the engine in this process, whose buffers are looked at
os.environ.setdefault("VLLM_ALLOW_INSECURE_SERIALIZATION", "1")  # apply_model takes a function

VOCABULARY = 151936
SHAPE = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "torch_dtype": "bfloat16", "hidden_size": 2048,
    "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768, "intermediate_size": 6144,
    "num_attention_heads": 32, "num_key_value_heads": 4, "head_dim": 128, "vocab_size": VOCABULARY,
    "max_position_embeddings": 40960, "mlp_only_layers": [], "decoder_sparse_step": 1, "hidden_act": "silu",
    "rms_norm_eps": 1e-6, "norm_topk_prob": True, "attention_bias": False, "rope_theta": 1000000.0,
    "tie_word_embeddings": False, "bos_token_id": 151643, "eos_token_id": 151645,
}


def shape_folder(layers):
    folder = pathlib.Path(tempfile.mkdtemp(prefix="qwen3_moe_shape_"))
    (folder / "config.json").write_text(json.dumps({**SHAPE, "num_hidden_layers": layers, "max_window_layers": layers}))
    return str(folder)


def randomise(model):
    """vLLM's random weights are tiny and alike in all layers: of these, tokens and experts differ."""
    import torch

    generator = torch.Generator(device="cuda").manual_seed(0)
    for name, parameter in model.named_parameters():
        if "norm" in name:
            parameter.data.fill_(1.0)
        elif parameter.dim() > 1:
            parameter.data.normal_(0.0, parameter.shape[-1] ** -0.5, generator=generator)


def experts_of_the_step(worker):
    """Distinct experts a layer of the newest step, and the plan's version; None: the plug-in is not there."""
    rank = getattr(worker, "thermoe_rank", None)
    if rank is None:
        return None
    return {"experts": float((rank.buffers.counts > 0).sum(1).float().mean()), "version": rank.version}


def decode(llm, options):
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    engine = llm.llm_engine
    sampling = SamplingParams(temperature=0.0, ignore_eos=True, max_tokens=options.tokens, detokenize=False,
                              output_kind=RequestOutputKind.DELTA)
    tokens = {}
    for stream in range(options.streams):
        step = 7919 * (stream + 1)
        prompt = [1000 + step * (place + 1) % (options.vocabulary - 2000) for place in range(options.prompt)]
        name = f"{time.monotonic_ns()}-{stream}"
        tokens[name] = []
        engine.add_request(name, {"prompt_token_ids": prompt}, sampling)
    times, experts, energy, last = [], [], joules(), None
    begun = time.perf_counter()
    while engine.has_unfinished_requests():
        started = time.perf_counter()
        for output in engine.step():
            tokens[output.request_id].extend(output.outputs[0].token_ids)
        times.append(time.perf_counter() - started)
        if len(times) % 32 == 0 and (last := llm.collective_rpc(experts_of_the_step)[0]):
            experts.append(last["experts"])
    seconds = time.perf_counter() - begun
    spent = joules()
    return {"tokens": list(tokens.values()),
            "ms_a_step": 1e3 * statistics.median(times), "tokens_a_second": sum(map(len, tokens.values())) / seconds,
            "watts": None if None in (energy, spent) else (spent - energy) / seconds,
            "experts_a_layer": statistics.mean(experts) if experts else None,
            "plan_version": last["version"] if last else None, "graphs_captured": graphs_captured()}


def joules():
    try:
        import pynvml
        pynvml.nvmlInit()
        return pynvml.nvmlDeviceGetTotalEnergyConsumption(pynvml.nvmlDeviceGetHandleByIndex(0)) / 1e3
    except Exception as error:  # no NVML, or a GPU without the counter: watts are None
        print(f"watts are not known: {error}", file=sys.stderr)
        return None


def graphs_captured():
    from vllm.compilation.counter import compilation_counter
    return compilation_counter.num_cudagraph_captured


def first_difference(ours, theirs):
    """Of each request the place of the first token that differs; None: all are the same."""
    return [next((place for place, (a, b) in enumerate(zip(*rows)) if a != b), None) for rows in zip(ours, theirs)]


def report(name, run):
    watts = "watts unknown" if run["watts"] is None else f"{run['watts']:.0f} W"
    experts = ("experts not counted" if run["experts_a_layer"] is None else
               f"{run['experts_a_layer']:.1f} experts a layer under plan {run['plan_version']}")
    print(f"{name}: {run['ms_a_step']:.2f} ms a step, {run['tokens_a_second']:.0f} tokens/s, {watts}, {experts}, "
          f"{run['graphs_captured']} graphs captured", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL")
    parser.add_argument("--layers", type=int, default=48, help="of qwen3-30b-a3b (48)")
    parser.add_argument("--streams", type=int, default=16, help="requests that decode together (16)")
    parser.add_argument("--prompt", type=int, default=32, help="tokens of a prompt (32)")
    parser.add_argument("--tokens", type=int, default=512, help="decoded a request (512)")
    parser.add_argument("--then", type=json.loads, action="append", default=[], metavar="JSON",
                        help="settings to decode under next")
    parser.add_argument("--json", metavar="FILE", help="write tokens and numbers there")
    parser.add_argument("--against", metavar="FILE", help="a run's --json: where do tokens first differ?")
    parser.add_argument("--engine", type=json.loads, default={}, metavar="JSON",
                        help="arguments of LLM() to add or replace")
    options = parser.parse_args()
    settings = os.environ.get("THERMOE_CONFIG")
    if options.then and not settings:
        parser.error("--then changes the file that THERMOE_CONFIG names, and it is not set")

    import vllm
    shape = options.model == "qwen3-30b-a3b"
    arguments = {"model": shape_folder(options.layers) if shape else options.model, "max_num_seqs": options.streams,
                 "max_model_len": max(2048, options.prompt + options.tokens), "enable_prefix_caching": False, "seed": 0}
    if shape:
        arguments |= {"load_format": "dummy", "skip_tokenizer_init": True, "dtype": "bfloat16",
                      "served_model_name": options.model}
    llm = vllm.LLM(**{**arguments, **options.engine})
    options.vocabulary = llm.llm_engine.model_config.get_vocab_size()
    if shape:
        llm.apply_model(randomise)
    decode(llm, argparse.Namespace(**{**vars(options), "tokens": 64}))  # what is compiled at first use
    runs = {"first": decode(llm, options)}
    report("stock" if settings is None else pathlib.Path(settings).read_text().strip(), runs["first"])
    for changed in options.then:
        pathlib.Path(settings).write_text(json.dumps(changed))
        time.sleep(2.5)  # it is looked at once a second
        runs[json.dumps(changed)] = decode(llm, options)
        report(json.dumps(changed), runs[json.dumps(changed)])
    if options.against:
        theirs = json.loads(pathlib.Path(options.against).read_text())
        places = first_difference(runs["first"]["tokens"], theirs["first"]["tokens"])
        differ = [place for place in places if place is not None]
        print(f"tokens differ from {options.against} in {len(differ)} of {len(places)} requests"
              f"{f', first at token {min(differ)}' if differ else ''}: {places}")
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(runs))
    return 0


if __name__ == "__main__":
    sys.exit(main())
