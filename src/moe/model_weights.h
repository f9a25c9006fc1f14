// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "moe/model_config.h"

namespace thermoe {

/// One block's parameters, f32, row-major. E experts, d = d_model, f = d_ff.
struct LayerWeights {
  std::vector<float> attn_norm{};  ///< [d]
  std::vector<float> qkv{};        ///< [3 d, d]: queries, keys, values; each [heads, head_dim]
  std::vector<float> attn_out{};   ///< [d, d]
  std::vector<float> moe_norm{};   ///< [d]
  std::vector<float> router{};     ///< [E, d]
  std::vector<float> gate{};       ///< [E, f, d]
  std::vector<float> up{};         ///< [E, f, d]
  std::vector<float> down{};       ///< [E, d, f]
};

/// A checkpoint's parameters for inference.
struct ModelWeights {
  ModelConfig config{};
  std::vector<float> embed{};       ///< [vocab, d]
  std::vector<float> final_norm{};  ///< [d]
  std::vector<float> head{};        ///< [vocab, d]
  std::vector<LayerWeights> layers{};
};

/// The configuration that a checkpoint's metadata holds. Throws FormatError.
ModelConfig read_model_config(const std::string& path);

/// Reads a safetensors checkpoint; BF16 and F16 are widened. Throws FormatError naming file and
/// tensor when a tensor is missing, unknown, not finite, or of another shape or dtype than
/// "thermoe_config" in the metadata asks for.
ModelWeights load_model_weights(const std::string& path);

}  // namespace thermoe
