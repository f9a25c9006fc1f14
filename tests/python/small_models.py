# SPDX-License-Identifier: Apache-2.0
"""Models of transformers' classes with a few thousand random weights, and how the tests step through them."""
import torch
import transformers

LAYERS, EXPERTS, K, VOCAB = 2, 16, 4, 64
_SIZES = dict(vocab_size=VOCAB, hidden_size=32, intermediate_size=48, num_hidden_layers=LAYERS, num_attention_heads=2,
              num_key_value_heads=2, head_dim=16, max_position_embeddings=64, num_experts_per_tok=K, pad_token_id=0,
              bos_token_id=1, eos_token_id=2)
_MLA = dict(kv_lora_rank=16, q_lora_rank=16, qk_rope_head_dim=8, qk_nope_head_dim=8, v_head_dim=16)
_GROUPED = dict(n_routed_experts=EXPERTS, moe_intermediate_size=16, n_group=4, topk_group=2, n_shared_experts=1,
                first_k_dense_replace=0, routed_scaling_factor=2.5, norm_topk_prob=True)


def _config(name, **more):
    return getattr(transformers, name + "Config")(**{**_SIZES, **more})


CONFIGS = {
    "Mixtral": lambda: _config("Mixtral", num_local_experts=EXPERTS, intermediate_size=16),
    "Qwen3Moe": lambda: _config("Qwen3Moe", num_experts=EXPERTS, moe_intermediate_size=16, norm_topk_prob=True),
    "Olmoe": lambda: _config("Olmoe", num_experts=EXPERTS, intermediate_size=16),
    "GptOss": lambda: _config("GptOss", num_local_experts=EXPERTS, intermediate_size=16,
                              layer_types=["full_attention"] * LAYERS),
    "DeepseekV3": lambda: _config("DeepseekV3", **{**_MLA, **_GROUPED}, head_dim=8),
    "Glm4Moe": lambda: _config("Glm4Moe", **{**_GROUPED, "n_group": 1, "topk_group": 1}),
}


def make(name, experts="grouped_mm"):
    """A model of that class, the same each time; biases of routers are random too."""
    torch.manual_seed(5)
    model = getattr(transformers, name + "ForCausalLM")(CONFIGS[name]()).eval()
    generator = torch.Generator().manual_seed(6)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(getattr(module, "top_k", None), int) and hasattr(module, "num_experts"):
                module.weight.normal_(0.0, 0.4, generator=generator)
                for bias in (getattr(module, "e_score_correction_bias", None), getattr(module, "bias", None)):
                    if bias is not None:
                        bias.normal_(0.0, 0.1, generator=generator)
    model.set_experts_implementation(experts)
    return model


def tokens(rows=6, length=6):
    return torch.randint(3, VOCAB, (rows, length), generator=torch.Generator().manual_seed(7))


@torch.no_grad()
def decode(model, ids):
    """Logits [rows, length, vocab] of ids fed one position a step, as generation does."""
    cache, logits = None, []
    for position in range(ids.shape[1]):
        out = model(input_ids=ids[:, position:position + 1], past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        logits.append(out.logits[:, 0])
    return torch.stack(logits, dim=1)
