#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sample the router logits of a Hugging Face MoE model while it decodes text.

Writes the file that `thermoe price` reads: `router_logits` [samples, layers, tokens, experts],
f32, before softmax, with k in the metadata. Each sample is one decode step of a batch: every
stream is fed the next token of its own piece of the text (teacher-forced), with a KV cache.

Needs torch, transformers (5.x) and safetensors; works on a GPU or, slowly, on a CPU. Works for
models whose forward pass takes output_router_logits and whose router is a softmax without a bias
on the selection (Qwen3-MoE, Mixtral, OLMoE, ...). Which it is, the model's configuration and its
router's class say; where neither does, the file leaves it open and thermoe price says so. Dense
layers among the MoE layers are skipped.

    python3 tools/export_router_logits.py Qwen/Qwen3-30B-A3B --text corpus.txt --out logits.safetensors
    thermoe price logits.safetensors
"""

import argparse
import inspect
import pathlib
import re
import sys

# Fields that say how router logits become scores: scoring_func, score_function,
# moe_router_activation_func, gating_func, ...
SCORING_FIELD = re.compile(r"scor\w*_func|(router|gating)_(\w+_)?(func|activation)")
SELECTION_BIAS = ("e_score_correction_bias", "expert_bias", "moe_statics")
# At most so far from 1 do probabilities sum that were rounded to bf16.
SUM_TOLERANCE = 1e-2


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


def fields_of(thing):
    """Names and values that an object or its class holds, private ones aside."""
    held = {**vars(type(thing)), **getattr(thing, "__dict__", {})}
    return {name: value for name, value in held.items() if not name.startswith("_")}


def routing_code(module):
    """The method or class that turns logits into scores; None where the module is no router."""
    method = getattr(type(module), "route_tokens_to_experts", None)
    named = re.search(r"router|gate$", type(module).__name__, re.IGNORECASE)
    return method or (type(module) if named else None)


def selection_bias(module):
    """The name of a bias that the router adds before it selects, if there is one that is not 0."""
    for name in SELECTION_BIAS:
        bias = getattr(module, name, None)
        bias = getattr(bias, "e_score_correction_bias", bias)
        if bias is not None and bool((bias != 0).any()):
            return name
    return None


def computed_scores(module):
    """What the router's own code computes, where it names only one of the two."""
    try:
        source = inspect.getsource(routing_code(module))
    except (OSError, TypeError):
        return None
    named = [name for name in ("softmax", "sigmoid") if name in source.lower()]
    return named[0] if len(named) == 1 else None


def scoring_of(config, routers):
    """(score function, who says so), or (None, None) where nobody does."""
    for place, thing in [("configuration", config), *((type(r).__name__, r) for r in routers)]:
        for name, value in sorted(fields_of(thing).items(), key=lambda field: field[0]):
            if SCORING_FIELD.search(name):
                value = value if isinstance(value, str) else getattr(value, "__name__", None)
                if value:
                    return value.lower(), f"{place}: {name}"
    for router in routers:
        scores = computed_scores(router)
        if scores:
            return scores, f"class {type(router).__name__}"
    return None, None


def check_scoring(config, modules):
    """The score function to write down (None: not known). Fails where prices would be wrong."""
    routers = [module for module in modules if routing_code(module)]
    scores, where = scoring_of(config, routers)
    if scores not in (None, "softmax"):
        fail(f"{config.model_type}: its router scores are {scores} ({where}); thermoe price handles "
             "softmax routers")
    for module in modules:
        name = selection_bias(module)
        if name:
            fail(f"{config.model_type}: its router adds {name} to scores before it selects, so its logits "
                 "alone do not say which experts run; thermoe price handles routers without it")
    return scores


def moe_layers(router_logits):
    """What the forward pass returned, without the places of dense layers."""
    return [layer for layer in router_logits
            if layer is not None and layer.ndim >= 2 and layer.shape[-1] > 1]


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
        layers = [layer.reshape(ids.shape[0], -1).float().cpu()
                  for layer in moe_layers(step.router_logits)]
        if not layers or len({layer.shape for layer in layers}) > 1:
            fail(f"{model.config.model_type}: its MoE layers return router_logits of shapes "
                 f"{sorted({tuple(layer.shape) for layer in layers})}; they should all be alike")
        samples.append(torch.stack(layers))
        print(f"\rsample {len(samples)} of {arguments.samples}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return torch.stack(samples)


def as_logits(values, model_type):
    """Some versions hand out probabilities under the name of logits. Their logarithm differs from
    the logits by a constant a row, which softmax does not see."""
    rows = values.reshape(-1, values.shape[-1])
    if not bool((rows >= 0).all()):
        return values
    if bool(((rows == 0).sum(-1) * 2 >= rows.shape[-1]).all()):
        fail(f"{model_type}: returns the scores of the chosen experts under the name of "
             "router_logits; those of the others are lost")
    if bool(((rows.sum(-1) - 1).abs() < SUM_TOLERANCE).all()):
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
    config = model.config.get_text_config()
    scores = check_scoring(config, list(model.modules()))
    k = top_k(config)
    length = arguments.prefix + arguments.samples * arguments.spacing
    ids = streams_of(tokenizer, arguments.text, arguments.batch, length).to(device)
    with torch.inference_mode():
        logits = as_logits(sample(model, ids, arguments), config.model_type)
    partial = arguments.out.with_name(arguments.out.name + ".partial")
    save_file({"router_logits": logits.contiguous()}, str(partial),
              metadata={"k": str(k), "model": str(arguments.model),
                        **({"score_function": scores} if scores else {})})
    partial.replace(arguments.out)
    shape = ", ".join(str(n) for n in logits.shape)
    print(f"{arguments.out}: router_logits [{shape}], top-{k}")


if __name__ == "__main__":
    main()
