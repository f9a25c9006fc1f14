#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sample the router logits of a Hugging Face MoE model while it decodes text.

Writes the file that `thermoe price` reads: `router_logits` [samples, layers, tokens, experts],
f32, before softmax, with k in the metadata. Each sample is one decode step of a batch: every
stream is fed the next token of its own piece of the text (teacher-forced), with a KV cache.

Needs torch, transformers (5.x) and safetensors; works on a GPU or, slowly, on a CPU. Works for
models whose forward pass takes output_router_logits and whose router is a softmax (Qwen3-MoE,
Mixtral, OLMoE, ...). Others are refused by name.

    python3 tools/export_router_logits.py Qwen/Qwen3-30B-A3B --text corpus.txt --out logits.safetensors
    thermoe price logits.safetensors
"""

import argparse
import pathlib
import sys

SIGMOID_ROUTERS = ("deepseek_v3", "glm4_moe", "ernie4_5_moe", "dots1", "minimax_m2", "kimi")


def fail(message):
    print(f"export_router_logits: {message}", file=sys.stderr)
    sys.exit(2)


def parse_arguments():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name or folder, as from_pretrained takes it")
    parser.add_argument("--text", type=pathlib.Path, required=True,
                        help="UTF-8 text; use text like that which you serve")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="safetensors file to write")
    parser.add_argument("--batch", type=int, default=16, help="streams decoded together (default 16)")
    parser.add_argument("--samples", type=int, default=64, help="decode steps to keep (default 64)")
    parser.add_argument("--spacing", type=int, default=4,
                        help="decode steps between two samples (default 4)")
    parser.add_argument("--prefix", type=int, default=64,
                        help="tokens of each stream read at once before decoding (default 64)")
    parser.add_argument("--device", default=None, help="default: cuda where there is one, else cpu")
    arguments = parser.parse_args()
    for name in ("batch", "samples", "spacing", "prefix"):
        if getattr(arguments, name) < 1:
            fail(f"--{name} {getattr(arguments, name)}: must be at least 1")
    return arguments


def top_k(config):
    """Experts a token takes, under whichever name the architecture uses."""
    for name in ("num_experts_per_tok", "top_k_experts", "moe_top_k", "top_k"):
        value = getattr(config, name, None)
        if isinstance(value, int) and value > 0:
            return value
    fail(f"{config.model_type}: its configuration names no number of experts per token")
    return None


def streams_of(tokenizer, path, batch, length):
    """`batch` consecutive pieces of the text, each `length` tokens."""
    import torch
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        fail(f"{path}: cannot be read as UTF-8 text: {error}")
    ids = tokenizer(text, return_tensors="pt", add_special_tokens=False).input_ids[0]
    if ids.numel() < batch * length:
        fail(f"{path}: has {ids.numel()} tokens; {batch} streams of {length} need {batch * length}; "
             "give a longer text, or lower --batch, --samples or --spacing")
    return torch.stack([ids[i * length:(i + 1) * length] for i in range(batch)])


def sample(model, ids, arguments):
    """[samples, layers, tokens, experts], f32 on the CPU."""
    import torch
    samples = []
    step = model(ids[:, :arguments.prefix], use_cache=True)
    position = arguments.prefix
    while len(samples) < arguments.samples:
        wanted = (position - arguments.prefix) % arguments.spacing == 0
        step = model(ids[:, position:position + 1], past_key_values=step.past_key_values,
                     use_cache=True, output_router_logits=wanted)
        position += 1
        if not wanted:
            continue
        if not getattr(step, "router_logits", None):
            fail(f"{model.config.model_type}: its forward pass returns no router_logits")
        layers = [layer.reshape(ids.shape[0], -1).float().cpu() for layer in step.router_logits]
        samples.append(torch.stack(layers))
        print(f"\rsample {len(samples)} of {arguments.samples}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return torch.stack(samples)


def as_logits(values):
    """Some versions hand out probabilities under the name of logits. Their logarithm differs from
    the logits by a constant a row, which softmax does not see."""
    rows = values.reshape(-1, values.shape[-1])
    if bool((rows >= 0).all()) and bool(((rows.sum(-1) - 1).abs() < 1e-2).all()):
        return values.clamp_min(1e-30).log()
    return values


def main():
    arguments = parse_arguments()
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype="auto").to(device).eval()
    model_type = model.config.model_type
    if model_type.startswith(SIGMOID_ROUTERS):
        fail(f"{model_type}: its router scores are sigmoids; thermoe price handles softmax routers")
    config = model.config.get_text_config()
    k = top_k(config)
    length = arguments.prefix + arguments.samples * arguments.spacing
    ids = streams_of(tokenizer, arguments.text, arguments.batch, length).to(device)
    with torch.inference_mode():
        logits = as_logits(sample(model, ids, arguments))
    partial = arguments.out.with_name(arguments.out.name + ".partial")
    save_file({"router_logits": logits.contiguous()}, str(partial),
              metadata={"k": str(k), "score_function": "softmax", "model": str(arguments.model)})
    partial.replace(arguments.out)
    shape = ", ".join(str(n) for n in logits.shape)
    print(f"{arguments.out}: router_logits [{shape}], top-{k}")


if __name__ == "__main__":
    main()
