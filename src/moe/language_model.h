// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <string>
#include <vector>

#include "moe/model_config.h"
#include "moe/simple_expert.h"
#include "moe/training_routing.h"
#include "moe/transformer_tensors.h"

namespace thermoe {

/// What a training forward may be told.
struct TrainingForward {
  at::ScalarType compute = at::kFloat;  ///< type of the matrix products; parameters stay f32
  double elastic_share = 0.0;  ///< share of tokens whose k is drawn from elastic_min..top_k
  int elastic_min = 2;
};

/// Causal self-attention with rotary positions (half-split), no biases.
class AttentionImpl final : public torch::nn::Module {
 public:
  explicit AttentionImpl(const ModelConfig& config);
  /// x [batch, length, d_model] -> the same shape.
  at::Tensor forward(const at::Tensor& x, const RotaryAngles& angles, at::ScalarType compute);

 private:
  int heads_;
  at::Tensor qkv_;  // [3 d, d]
  at::Tensor out_;  // [d, d]
};
TORCH_MODULE(Attention);

/// Router and experts. Decoding uses grouped kernels on the same parameters (moe/decoder.h).
class SimpleMoELayerImpl final : public torch::nn::Module {
 public:
  explicit SimpleMoELayerImpl(const ModelConfig& config);
  /// x [tokens, d_model] f32 -> [tokens, d_model] f32; `routing` receives the router's choice.
  at::Tensor forward(const at::Tensor& x, const TrainingForward& how, TrainingRouting& routing);

 private:
  int top_k_;
  at::Tensor router_;       // [E, d]
  SimpleExpert experts_{};  // shares its tensors with the parameters "gate", "up" and "down"
};
TORCH_MODULE(SimpleMoELayer);

/// x + attention(norm(x)), then x + experts(norm(x)).
class MoETransformerBlockImpl final : public torch::nn::Module {
 public:
  explicit MoETransformerBlockImpl(const ModelConfig& config);
  at::Tensor forward(const at::Tensor& x, const RotaryAngles& angles, const TrainingForward& how,
                     TrainingRouting& routing);

 private:
  double eps_;
  at::Tensor attn_norm_;  // [d]
  at::Tensor moe_norm_;   // [d]
  Attention attn_{nullptr};
  SimpleMoELayer moe_{nullptr};
};
TORCH_MODULE(MoETransformerBlock);

/// Byte-level decoder: embedding, blocks, final norm, head. Differentiable full forward; decoding
/// with a KV cache is moe/decoder.h on the same checkpoint.
class LanguageModelImpl final : public torch::nn::Module {
 public:
  explicit LanguageModelImpl(const ModelConfig& config);

  struct Output {
    at::Tensor logits;                     ///< [batch, length, vocab] f32
    std::vector<TrainingRouting> routing;  ///< a layer each; tokens = batch * length
  };
  /// bytes [batch, length] i64, length <= config.context.
  Output forward(const at::Tensor& bytes, const TrainingForward& how = {});

  const ModelConfig& config() const { return config_; }

 private:
  ModelConfig config_;
  at::Tensor embed_;       // [vocab, d]
  at::Tensor final_norm_;  // [d]
  at::Tensor head_;        // [vocab, d]
  std::vector<MoETransformerBlock> blocks_{};
};
TORCH_MODULE(LanguageModel);

/// Writes parameters as a safetensors checkpoint (`dtype` f32 or bf16) with the configuration and
/// `metadata`; reads one back, widened to f32. Errors name file and tensor.
void save_language_model(LanguageModel& model, const std::string& path, at::ScalarType dtype,
                         const std::vector<std::pair<std::string, std::string>>& metadata = {});
LanguageModel load_language_model(const std::string& path);

}  // namespace thermoe
