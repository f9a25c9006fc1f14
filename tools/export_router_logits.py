#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Sample the router logits of a Hugging Face MoE model while it decodes text.

Writes the file that `thermoe price` reads: `router_logits` [samples, layers, tokens, experts],
f32, before the score function, and how the model's router picks and weighs by them: in the metadata
k, score_function (softmax, sigmoid or sqrt_softplus), groups, groups_kept, denominator and
routed_scale; as a tensor selection_bias [layers, experts], where the model adds one before it
selects. Each sample is one decode step of a batch: every stream is fed the next token of its own
piece of the text (teacher-forced), with a KV cache.

What the file says of the router is what reproduces the model's own picks and weights of all the
samples. A router that none of these forms reproduces (hashed experts, groups by their best expert,
...) is refused.

Needs torch, transformers (5.x) and safetensors; works on a GPU or, slowly, on a CPU. Works for
models whose router is a module that returns logits, weights and picks (Qwen3-MoE, Mixtral, OLMoE,
gpt-oss, DeepSeek-V3, GLM-4.5, ...). Dense layers among the MoE layers are skipped.

    python3 tools/export_router_logits.py Qwen/Qwen3-30B-A3B --text corpus.txt --out logits.safetensors
    thermoe price logits.safetensors
"""

import argparse
import itertools
import pathlib
import sys

SELECTION_BIAS = ("e_score_correction_bias", "expert_bias")
# Of the chosen scores, and of the weights: bf16 rounds by 0.2 % on average.
PICKS_TOLERANCE, WEIGHTS_TOLERANCE = 1e-3, 1e-2
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


def routing_of(output):
    """(logits [tokens, experts], weights [tokens, k], picks [tokens, k]) where a module's output
    is a routing, else None. Architectures order the three as they like."""
    if not isinstance(output, tuple) or len(output) != 3 or \
            any(getattr(part, "ndim", None) != 2 for part in output):
        return None
    picks = [part for part in output if not part.is_floating_point()]
    if len(picks) != 1:
        return None
    floats = [part for part in output if part.is_floating_point()]
    weights = [part for part in floats if part.shape == picks[0].shape]
    logits = [part for part in floats if part.shape[-1] > picks[0].shape[-1]]
    if len(weights) != 1 or len(logits) != 1 or len(logits[0]) != len(picks[0]):
        return None
    return logits[0], weights[0], picks[0]


class RouterWatch:
    """Keeps what every router of a model returns while it is on, in the order of the layers."""

    def __init__(self, model):
        self.on, self.routers, self.routings = False, [], []
        for module in model.modules():
            module.register_forward_hook(self.see)

    def see(self, module, _, output):
        routing = routing_of(output) if self.on else None
        if routing:
            self.routers.append(module)
            self.routings.append([part.detach().cpu() for part in routing])

    def take(self, model_type):
        """(routers, [logits, weights, picks], each [layers, tokens, ...]) since the last call."""
        import torch
        routers, routings = self.routers, self.routings
        self.routers, self.routings = [], []
        if not routings:
            fail(f"{model_type}: none of its modules returns router logits, weights and picks; fused kernels "
                 "hide them: load the model without (for mxfp4 checkpoints, dequantized)")
        shapes = sorted({tuple(logits.shape) + (picks.shape[-1],) for logits, _, picks in routings})
        if len(shapes) > 1:
            fail(f"{model_type}: its MoE layers route by shapes [tokens, experts, k] of {shapes}; they "
                 "should all be alike")
        return routers, [torch.stack(parts) for parts in zip(*routings)]


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
    """(routers, logits, weights, picks): each [samples, layers, tokens, ...] on the CPU."""
    import torch
    samples = []
    watch = RouterWatch(model)
    step = model(ids[:, :arguments.prefix], use_cache=True)
    position = arguments.prefix
    while len(samples) < arguments.samples:
        watch.on = (position - arguments.prefix) % arguments.spacing == 0
        step = model(ids[:, position:position + 1], past_key_values=step.past_key_values,
                     use_cache=True)
        position += 1
        if not watch.on:
            continue
        routers, routing = watch.take(model.config.model_type)
        samples.append(routing)
        print(f"\rsample {len(samples)} of {arguments.samples}", end="", file=sys.stderr)
    print(file=sys.stderr)
    return routers, *(torch.stack(parts) for parts in zip(*samples))


def as_logits(values):
    """f32. Some versions hand out probabilities under the name of logits. Their logarithm differs
    from the logits by a constant a row, which softmax does not see."""
    values = values.float()
    if bool((values >= 0).all()) and bool(((values.sum(-1) - 1).abs() < SUM_TOLERANCE).all()):
        return values.clamp_min(1e-30).log()
    return values


def selection_bias(model, routers, experts):
    """[layers, experts] of the bias that is added to scores before selection; None where there is
    none, or only zeros."""
    import torch
    parents = {child: module for module in model.modules() for child in module.children()}
    rows = []
    for router in routers:
        held = [value for module in (router, parents.get(router, router))
                for name, value in itertools.chain(module.named_buffers(), module.named_parameters())
                if name.rpartition(".")[2] in SELECTION_BIAS and value.numel() == experts]
        rows.append(held[0].detach().reshape(-1).float().cpu() if held else torch.zeros(experts))
    bias = torch.stack(rows)
    return bias if bool((bias != 0).any()) else None


def groups_of(router):
    """(groups, groups kept) as the router's own fields have them."""
    held = getattr(router, "num_group", None), getattr(router, "topk_group", None)
    return held if all(isinstance(n, int) and n > 0 for n in held) else (1, 1)


def inside_own_groups(choice, groups, kept):
    """The scores that select, -inf outside each token's best groups: by their two best's sum."""
    experts = choice.shape[-1]
    by_group = choice.unflatten(-1, (groups, experts // groups))
    ranks = by_group.topk(min(2, experts // groups), dim=-1).values.sum(-1)
    own = ranks.new_zeros(ranks.shape).scatter(-1, ranks.topk(kept, dim=-1).indices, 1.0) > 0
    return by_group.masked_fill(~own.unsqueeze(-1), float("-inf")).flatten(-2)


def error_of(found, expected):
    """Mean error relative to the mean, of the layer where it is largest. [samples, layers, ...]"""
    layers = (0, *range(2, found.ndim))
    return float(((found - expected).abs().mean(layers) / expected.abs().mean(layers)).max())


def scale_of(weights, unscaled, fields):
    """What the weights are multiplied by: a number of the configuration, where one is that near."""
    scale = float(weights.sum() / unscaled.sum())
    named = [1.0, *(float(v) for v in fields.values() if isinstance(v, (int, float)))]
    nearest = min(named, key=lambda number: abs(number - scale))
    return nearest if abs(nearest - scale) < 0.005 * scale else scale


def router_of(config, router, logits, weights, picks, bias):
    """The router's metadata, and the bias if it selects by it: of all those that thermoe knows the
    one that comes nearest to the model's own picks and weights. Fails where none comes near."""
    import torch
    k = picks.shape[-1]
    weights = weights.float()
    scores = {"softmax": logits.softmax(-1), "sigmoid": logits.sigmoid(),
              "sqrt_softplus": torch.nn.functional.softplus(logits).sqrt()}
    fields = {**config.to_dict(), **vars(router)}
    best = None
    for (name, p), beta, (groups, kept) in itertools.product(
            scores.items(), [None] if bias is None else [bias, None],
            dict.fromkeys([groups_of(router), (1, 1)])):
        choice = p if beta is None else p + beta.unsqueeze(1)
        chosen = p.gather(-1, picks)
        wrong_picks = error_of(choice.gather(-1, picks).sum(-1),
                               inside_own_groups(choice, groups, kept).topk(k).values.sum(-1))
        for denominator in ("picked", "none"):
            unscaled = chosen / chosen.sum(-1, keepdim=True) if denominator == "picked" else chosen
            scale = scale_of(weights, unscaled, fields)
            wrong_weights = error_of(weights, scale * unscaled)
            found = {"k": k, "score_function": name, "groups": groups, "groups_kept": kept,
                     "denominator": denominator, "routed_scale": scale}
            if best is None or wrong_picks + wrong_weights < sum(best[:2]):
                best = wrong_picks, wrong_weights, found, beta
    wrong_picks, wrong_weights, found, beta = best
    if not (wrong_picks <= PICKS_TOLERANCE and wrong_weights <= WEIGHTS_TOLERANCE):
        fail(f"{config.model_type}: no router that thermoe knows does what this one does; the nearest, "
             f"{found}, is off by {100 * wrong_picks:.2g} % in picks and {100 * wrong_weights:.2g} % in "
             "weights")
    return {name: str(value) for name, value in found.items()}, beta


def main():
    arguments = parse_arguments()
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    device = arguments.device or ("cuda" if torch.cuda.is_available() else "cpu")
    tokenizer = AutoTokenizer.from_pretrained(arguments.model)
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype="auto").to(device).eval()
    length = arguments.prefix + arguments.samples * arguments.spacing
    ids = streams_of(tokenizer, arguments.text, arguments.batch, length).to(device)
    with torch.inference_mode():
        routers, logits, weights, picks = sample(model, ids, arguments)
        logits = as_logits(logits)
        bias = selection_bias(model, routers, logits.shape[-1])
        metadata, bias = router_of(model.config.get_text_config(), routers[0], logits, weights, picks, bias)
    tensors = {"router_logits": logits.contiguous()}
    if bias is not None:
        tensors["selection_bias"] = bias
    metadata |= {"layers": str(logits.shape[1]), "experts": str(logits.shape[-1]),
                 "model": str(arguments.model)}
    partial = arguments.out.with_name(arguments.out.name + ".partial")
    save_file(tensors, str(partial), metadata=metadata)
    partial.replace(arguments.out)
    shape = ", ".join(str(n) for n in logits.shape)
    print(f"{arguments.out}: router_logits [{shape}]; " + ", ".join(
        f"{name} {metadata[name]}" for name in ("k", "score_function", "groups", "groups_kept",
                                                "denominator", "routed_scale"))
          + (", with selection_bias" if bias is not None else ""))


if __name__ == "__main__":
    main()
