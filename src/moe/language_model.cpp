// SPDX-License-Identifier: Apache-2.0
#include "moe/language_model.h"

#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

at::Tensor normal(at::IntArrayRef shape, double deviation) { return at::randn(shape) * deviation; }

/// A module that is one weight, so that parameters are called "attn.qkv.weight" as elsewhere.
class WeightImpl final : public torch::nn::Module {
 public:
  explicit WeightImpl(at::Tensor initial) {
    weight = register_parameter("weight", std::move(initial));
  }
  at::Tensor weight;
};

at::Tensor register_weight(torch::nn::Module& owner, const std::string& name, at::Tensor initial) {
  return owner.register_module(name, std::make_shared<WeightImpl>(std::move(initial)))->weight;
}

at::Tensor linear_in(const at::Tensor& x, const at::Tensor& weight, at::ScalarType compute) {
  return at::linear(x.to(compute), weight.to(compute));
}

/// Each token's k: top_k, but for `elastic_share` of them drawn uniformly from elastic_min..top_k.
at::Tensor draw_k(std::int64_t tokens, int top_k, const TrainingForward& how, at::Device device) {
  if (how.elastic_share <= 0.0) return {};
  const auto options = at::TensorOptions().device(device).dtype(at::kLong);
  const at::Tensor elastic = at::rand({tokens}, options.dtype(at::kFloat)) < how.elastic_share;
  const at::Tensor drawn = at::randint(how.elastic_min, top_k + 1, {tokens}, options);
  return at::where(elastic, drawn, at::full_like(drawn, top_k));
}

}  // namespace

AttentionImpl::AttentionImpl(const ModelConfig& c) : heads_(c.heads) {
  const std::int64_t d = c.d_model;
  const double deviation = 1.0 / std::sqrt(static_cast<double>(d));
  qkv_ = register_weight(*this, "qkv", normal({3 * d, d}, deviation));
  out_ = register_weight(*this, "out", normal({d, d}, deviation / std::sqrt(2.0 * c.layers)));
}

at::Tensor AttentionImpl::forward(const at::Tensor& x, const RotaryAngles& angles,
                                  at::ScalarType compute) {
  const auto batch = x.size(0);
  const auto length = x.size(1);
  const auto d = x.size(2);
  const at::Tensor qkv = linear_in(x, qkv_, compute).view({batch, length, 3, heads_, d / heads_});
  const auto parts = qkv.permute({2, 0, 3, 1, 4}).unbind(0);  // 3 x [batch, heads, length, hd]
  const at::Tensor q = rotate(parts[0], angles);
  const at::Tensor k = rotate(parts[1], angles);
  const at::Tensor mixed =
      at::scaled_dot_product_attention(q, k, parts[2], {}, /*dropout_p=*/0.0, /*is_causal=*/true);
  return linear_in(mixed.transpose(1, 2).reshape({batch, length, d}), out_, compute);
}

SimpleMoELayerImpl::SimpleMoELayerImpl(const ModelConfig& c) : top_k_(c.top_k) {
  const double deviation = 1.0 / std::sqrt(static_cast<double>(c.d_model));
  router_ = register_weight(*this, "router", normal({c.experts, c.d_model}, deviation));
  experts_ = SimpleExpert::random(c);
  register_parameter("gate", experts_.gate);
  register_parameter("up", experts_.up);
  register_parameter("down", experts_.down);
}

at::Tensor SimpleMoELayerImpl::forward(const at::Tensor& x, const TrainingForward& how,
                                       TrainingRouting& routing) {
  const at::Tensor logits = at::linear(x, router_);
  routing = route_for_training(logits, top_k_, draw_k(x.size(0), top_k_, how, x.device()));
  return experts_.forward(x, routing.ids, routing.weights, how.compute);
}

MoETransformerBlockImpl::MoETransformerBlockImpl(const ModelConfig& c) : eps_(c.norm_eps) {
  attn_norm_ = register_weight(*this, "attn_norm", at::ones({c.d_model}));
  moe_norm_ = register_weight(*this, "moe_norm", at::ones({c.d_model}));
  attn_ = register_module("attn", Attention(c));
  moe_ = register_module("moe", SimpleMoELayer(c));
}

at::Tensor MoETransformerBlockImpl::forward(const at::Tensor& x, const RotaryAngles& angles,
                                            const TrainingForward& how, TrainingRouting& routing) {
  const at::Tensor attended =
      x + attn_->forward(rms_norm(x, attn_norm_, eps_), angles, how.compute).to(at::kFloat);
  const at::Tensor normed = rms_norm(attended, moe_norm_, eps_).view({-1, x.size(2)});
  return attended + moe_->forward(normed, how, routing).view_as(x);
}

LanguageModelImpl::LanguageModelImpl(const ModelConfig& config) : config_(config) {
  const std::int64_t d = config.d_model;
  embed_ = register_weight(*this, "embed", normal({config.vocab, d}, 1.0));
  for (int l = 0; l < config.layers; ++l) {
    blocks_.push_back(MoETransformerBlock(config));
  }
  torch::nn::ModuleList layers;
  for (const auto& block : blocks_) layers->push_back(block);
  register_module("layers", layers);
  final_norm_ = register_weight(*this, "final_norm", at::ones({d}));
  head_ = register_weight(*this, "head", normal({config.vocab, d}, 0.02));
}

LanguageModelImpl::Output LanguageModelImpl::forward(const at::Tensor& bytes,
                                                     const TrainingForward& how) {
  THERMOE_EXPECT(bytes.dim() == 2 && bytes.size(1) <= config_.context,
                 "bytes must be [batch, length <= {}]", config_.context);
  RotaryAngles angles =
      rotary_angles(bytes.size(1), config_.head_dim(), config_.rope_base, bytes.device());
  angles = {.cosine = angles.cosine.to(how.compute), .sine = angles.sine.to(how.compute)};

  Output output;
  output.routing.resize(blocks_.size());
  at::Tensor x = at::embedding(embed_, bytes);
  for (std::size_t l = 0; l < blocks_.size(); ++l) {
    x = blocks_[l]->forward(x, angles, how, output.routing[l]);
  }
  output.logits =
      linear_in(rms_norm(x, final_norm_, config_.norm_eps), head_, how.compute).to(at::kFloat);
  return output;
}

}  // namespace thermoe
