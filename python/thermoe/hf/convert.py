# SPDX-License-Identifier: Apache-2.0
"""A checkpoint of `thermoe train` as a model of transformers: `python -m thermoe.hf.convert CHECKPOINT FOLDER`.

Such a model is a Mixtral in all but name: RMSNorm, rotary positions over the whole head, attention and experts without
biases, SwiGLU experts, softmax over all gate logits, the k largest renormalised, an untied head. So it becomes one, a
tensor each, and nothing of its numbers changes but the order in which they are added up.
"""
import argparse
import json
import pathlib
import sys
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import MixtralConfig, MixtralForCausalLM

_FIELDS = ("vocab", "layers", "d_model", "heads", "experts", "top_k", "d_ff", "context", "rope_base", "norm_eps")


class CheckpointError(ValueError):
    """A file that is no checkpoint of ours, naming file and key."""


def convert_checkpoint(checkpoint: str | pathlib.Path, *, dtype: torch.dtype = torch.float32) -> MixtralForCausalLM:
    """The model in `checkpoint` (a .safetensors of `thermoe train`), on the CPU, in eval mode. Its tokens are bytes.

    Raises CheckpointError naming the file and what is missing or of another shape.
    """
    path = pathlib.Path(checkpoint)
    try:
        with safe_open(path, framework="pt") as file:
            config = _config(path, file.metadata() or {})
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except FileNotFoundError as error:
        raise CheckpointError(f"{path}: no such file") from error
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    model = MixtralForCausalLM(_mixtral_config(config))
    model.to(dtype=dtype)
    state = _mixtral_state(path, config, tensors)
    try:
        model.load_state_dict({name: tensor.to(dtype) for name, tensor in state.items()})
    except RuntimeError as error:  # torch lists every tensor whose shape is another
        raise CheckpointError(f"{path}: tensors that are not as its thermoe_config says: {error}") from error
    model.eval()
    return model


def _config(path: pathlib.Path, metadata: dict[str, str]) -> dict[str, Any]:
    if "thermoe_config" not in metadata:
        raise CheckpointError(f"{path}: __metadata__/thermoe_config is missing: no checkpoint of `thermoe train`")
    config = json.loads(metadata["thermoe_config"])
    for field in _FIELDS:
        if not isinstance(config.get(field), (int, float)):
            raise CheckpointError(f"{path}: __metadata__/thermoe_config/{field} is {config.get(field)!r}, not a number")
    return dict(config)


def _mixtral_config(c: dict[str, Any]) -> MixtralConfig:
    return MixtralConfig(
        vocab_size=c["vocab"], hidden_size=c["d_model"], intermediate_size=c["d_ff"],
        num_hidden_layers=c["layers"], num_attention_heads=c["heads"], num_key_value_heads=c["heads"],
        head_dim=c["d_model"] // c["heads"], hidden_act="silu", max_position_embeddings=c["context"],
        rms_norm_eps=c["norm_eps"], tie_word_embeddings=False, sliding_window=None,
        rope_parameters={"rope_type": "default", "rope_theta": c["rope_base"]},
        num_experts_per_tok=c["top_k"], num_local_experts=c["experts"], router_jitter_noise=0.0,
        # Bytes: 0x00 separates documents, and nothing is padding.
        bos_token_id=0, eos_token_id=0, pad_token_id=None)


def _mixtral_state(path: pathlib.Path, c: dict[str, Any], tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    def take(name: str) -> torch.Tensor:
        if name not in tensors:
            raise CheckpointError(f"{path}: tensor {name} is missing")
        return tensors.pop(name)

    state = {"model.embed_tokens.weight": take("embed.weight"), "model.norm.weight": take("final_norm.weight"),
             "lm_head.weight": take("head.weight")}
    for layer in range(int(c["layers"])):
        ours, theirs = f"layers.{layer}", f"model.layers.{layer}"
        query, key, value = take(f"{ours}.attn.qkv.weight").chunk(3)
        state |= {
            f"{theirs}.input_layernorm.weight": take(f"{ours}.attn_norm.weight"),
            f"{theirs}.self_attn.q_proj.weight": query,
            f"{theirs}.self_attn.k_proj.weight": key,
            f"{theirs}.self_attn.v_proj.weight": value,
            f"{theirs}.self_attn.o_proj.weight": take(f"{ours}.attn.out.weight"),
            f"{theirs}.post_attention_layernorm.weight": take(f"{ours}.moe_norm.weight"),
            f"{theirs}.mlp.gate.weight": take(f"{ours}.moe.router.weight"),
            f"{theirs}.mlp.experts.gate_up_proj": torch.cat([take(f"{ours}.moe.gate"), take(f"{ours}.moe.up")], dim=1),
            f"{theirs}.mlp.experts.down_proj": take(f"{ours}.moe.down"),
        }
    if tensors:
        raise CheckpointError(f"{path}: tensors that such a model does not have: {', '.join(sorted(tensors))}")
    return state


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m thermoe.hf.convert", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a .safetensors of `thermoe train`, as model/thermoe-e128.safetensors")
    parser.add_argument("folder", help="where AutoModelForCausalLM.from_pretrained is to find it")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32", help="of the weights")
    options = parser.parse_args(arguments)
    try:
        model = convert_checkpoint(options.checkpoint, dtype=getattr(torch, options.dtype))
    except CheckpointError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    model.save_pretrained(options.folder)
    print(f"{options.folder}: a {type(model).__name__} of {model.num_parameters():,} parameters whose tokens are bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
