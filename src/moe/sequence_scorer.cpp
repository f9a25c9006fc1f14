// SPDX-License-Identifier: Apache-2.0
#include "moe/sequence_scorer.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>
#include <future>

#include "core/errors.h"
#include "kernels/grouped_experts.h"
#include "moe/layer_experts.h"
#include "moe/model_weights.h"
#include "moe/tensor_routing.h"
#include "moe/transformer_tensors.h"

namespace thermoe {
namespace {

at::Tensor copied(const std::vector<float>& values, at::IntArrayRef shape) {
  return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat).clone();
}

struct Block {
  Block(const LayerWeights& w, const ModelConfig& c, const ScorerOptions& o)
      : attn_norm(copied(w.attn_norm, {c.d_model})),
        qkv(copied(w.qkv, {3 * c.d_model, c.d_model})),
        attn_out(copied(w.attn_out, {c.d_model, c.d_model})),
        moe_norm(copied(w.moe_norm, {c.d_model})),
        router(copied(w.router, {c.experts, c.d_model})),
        experts(make_expert_bank(w, c, o.experts, o.int4_group)) {}

  at::Tensor attn_norm;
  at::Tensor qkv;
  at::Tensor attn_out;
  at::Tensor moe_norm;
  at::Tensor router;
  ExpertBank experts;
};

/// Sums of a forward pass over layers.
struct RoutingSums {
  double active = 0.0;                        // mean distinct experts a batch
  double kept_mass = 0.0;                     // mean a token
  std::vector<std::int64_t> expert_tokens{};  // [layers, experts]
};

}  // namespace

struct SequenceScorer::Impl {
  Impl(const ModelWeights& w, const ScorerOptions& o);

  at::Tensor forward(std::span<const std::uint8_t> bytes, int batch, int length, int stride,
                     const RoutingPlan& plan, RoutingSums& sums);
  at::Tensor attention(const Block& block, const at::Tensor& x, int batch, int length) const;
  at::Tensor experts(const at::Tensor& x, int layer, int batch, const RoutingPlan& plan,
                     AdaptiveRouter& router, RoutingSums& sums);
  at::Tensor apply(const ExpertBank& bank, const at::Tensor& hidden, const Routing& routing,
                   std::span<const std::uint8_t> variant);

  ModelConfig config;
  ScorerOptions options;
  at::Tensor embed;
  at::Tensor final_norm;
  at::Tensor head;
  std::vector<Block> blocks;
  std::vector<GroupedExpertsWorkspace> workspaces;  // one a thread
};

SequenceScorer::Impl::Impl(const ModelWeights& w, const ScorerOptions& o)
    : config(w.config),
      options(o),
      embed(copied(w.embed, {config.vocab, config.d_model})),
      final_norm(copied(w.final_norm, {config.d_model})),
      head(copied(w.head, {config.vocab, config.d_model})),
      workspaces(static_cast<std::size_t>(at::get_num_threads())) {
  for (const LayerWeights& layer : w.layers) blocks.emplace_back(layer, config, options);
}

/// x [length * batch, d], tokens of one position beside each other.
at::Tensor SequenceScorer::Impl::attention(const Block& block, const at::Tensor& x, int batch,
                                           int length) const {
  const std::int64_t hd = config.head_dim();
  const RotaryAngles angles = rotary_angles(length, hd, config.rope_base, at::kCPU);
  const auto parts = at::linear(rms_norm(x, block.attn_norm, config.norm_eps), block.qkv)
                         .view({length, batch, 3, config.heads, hd})
                         .permute({2, 1, 3, 0, 4})  // 3 x [batch, heads, length, hd]
                         .unbind(0);
  const at::Tensor mixed = at::scaled_dot_product_attention(
      rotate(parts[0], angles), rotate(parts[1], angles), parts[2].contiguous(), {},
      /*dropout_p=*/0.0, /*is_causal=*/true);
  return at::linear(mixed.permute({2, 0, 1, 3}).reshape(x.sizes()), block.attn_out);
}

at::Tensor SequenceScorer::Impl::experts(const at::Tensor& x, int layer, int batch,
                                         const RoutingPlan& plan, AdaptiveRouter& router,
                                         RoutingSums& sums) {
  const Block& block = blocks[layer];
  const at::Tensor hidden = rms_norm(x, block.moe_norm, config.norm_eps).contiguous();
  const Routing routing =
      route_batches(router, at::linear(hidden, block.router), batch, plan, layer);
  sums.active += static_cast<double>(routing.counts.gt(0).sum().item<std::int64_t>()) /
                 static_cast<double>(routing.counts.size(0));
  sums.kept_mass += routing.kept_mass;

  const at::Tensor total = routing.counts.sum(0).to(at::kInt);
  const auto* received = total.const_data_ptr<std::int32_t>();
  sums.expert_tokens.insert(sums.expert_tokens.end(), received, received + total.numel());
  const bool mixed = options.experts == ExpertType::kMixed;
  return apply(block.experts, hidden, routing,
               mixed ? plan.variant(layer) : std::span<const std::uint8_t>{});
}

/// The picks are made: positions share passes over the experts' weights, one a thread.
at::Tensor SequenceScorer::Impl::apply(const ExpertBank& bank, const at::Tensor& hidden,
                                       const Routing& routing,
                                       std::span<const std::uint8_t> variant) {
  const std::int64_t batches = routing.counts.size(0);
  const std::int64_t batch = hidden.size(0) / batches;
  const std::int64_t slots = routing.indices.size(1);
  const auto parts = std::min(static_cast<std::int64_t>(workspaces.size()), batches);
  const at::Tensor out = at::empty_like(hidden);
  std::vector<std::future<void>> running;
  for (std::int64_t part = 0; part < parts; ++part) {
    const std::int64_t first = batches * part / parts;
    const std::int64_t last = batches * (part + 1) / parts;
    const at::Tensor counts = routing.counts.slice(0, first, last).sum(0).to(at::kInt);
    const GroupedExpertsArgs args{
        .bank = &bank,
        .hidden = hidden.const_data_ptr<float>() + first * batch * hidden.size(1),
        .tokens = static_cast<int>((last - first) * batch),
        .expert = routing.indices.const_data_ptr<std::int32_t>() + first * batch * slots,
        .weight = routing.weights.const_data_ptr<float>() + first * batch * slots,
        .slots = static_cast<int>(slots),
        .counts = counts.const_data_ptr<std::int32_t>(),
        .variant = variant,
        .workspace = &workspaces[static_cast<std::size_t>(part)],
        .out = out.mutable_data_ptr<float>() + first * batch * hidden.size(1)};
    running.push_back(std::async(std::launch::async, [args, counts] { grouped_experts(args); }));
  }
  for (std::future<void>& part : running) part.get();
  return out;
}

/// Logits [length * batch, vocab], position by position. Row b of `bytes` starts at b * stride.
at::Tensor SequenceScorer::Impl::forward(std::span<const std::uint8_t> bytes, int batch, int length,
                                         int stride, const RoutingPlan& plan, RoutingSums& sums) {
  THERMOE_EXPECT(1 <= length && length <= config.context, "length={} is not in 1..{}", length,
                 config.context);
  THERMOE_EXPECT(plan.layers() == config.layers && plan.experts() == config.experts,
                 "a plan of {} layers x {} experts for a model of {} x {}", plan.layers(),
                 plan.experts(), config.layers, config.experts);
  const at::Tensor ids = at::empty({length, batch}, at::kLong);
  auto id = ids.accessor<std::int64_t, 2>();
  for (int b = 0; b < batch; ++b) {
    for (int p = 0; p < length; ++p) {
      id[p][b] = bytes[static_cast<std::size_t>(b) * stride + p];
      THERMOE_EXPECT(id[p][b] < config.vocab, "byte {} is outside the vocabulary of {}", id[p][b],
                     config.vocab);
    }
  }
  AdaptiveRouter router(router_spec(config, options.denominator), batch);
  at::Tensor x = embed.index_select(0, ids.view(-1));
  for (int l = 0; l < config.layers; ++l) {
    x = x + attention(blocks[l], x, batch, length);
    x = x + experts(x, l, batch, plan, router, sums);
  }
  sums.active /= config.layers;
  sums.kept_mass /= config.layers;
  return at::linear(rms_norm(x, final_norm, config.norm_eps), head);
}

SequenceScorer::SequenceScorer(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
SequenceScorer::~SequenceScorer() = default;

std::unique_ptr<SequenceScorer> SequenceScorer::load(const std::string& path,
                                                     const ScorerOptions& options) {
  return std::unique_ptr<SequenceScorer>(
      new SequenceScorer(std::make_unique<Impl>(load_model_weights(path), options)));
}

const ModelConfig& SequenceScorer::config() const { return impl_->config; }
RoutingPlan SequenceScorer::baseline() const {
  return baseline_plan(impl_->config, impl_->options.experts);
}

SequenceScore SequenceScorer::score(std::span<const std::uint8_t> bytes, int batch, int length,
                                    const RoutingPlan& plan) {
  THERMOE_EXPECT(
      batch >= 1 && length >= 2 && bytes.size() == static_cast<std::size_t>(batch) * length,
      "{} bytes are not [{}, {}] with a length of at least 2", bytes.size(), batch, length);
  const at::NoGradGuard no_grad;
  RoutingSums sums;
  const at::Tensor predicted = impl_->forward(bytes, batch, length - 1, length, plan, sums);
  const at::Tensor next = at::empty({length - 1, batch}, at::kLong);
  auto target = next.accessor<std::int64_t, 2>();
  for (int b = 0; b < batch; ++b) {
    for (int p = 1; p < length; ++p)
      target[p - 1][b] = bytes[static_cast<std::size_t>(b) * length + p];
  }
  const at::Tensor nats = -at::log_softmax(predicted, -1).gather(1, next.view({-1, 1}));
  return {.targets = nats.numel(),
          .bits_per_byte = nats.to(at::kDouble).mean().item<double>() / std::log(2.0),
          .mean_active = sums.active,
          .kept_mass = sums.kept_mass,
          .expert_tokens = std::move(sums.expert_tokens)};
}

std::vector<float> SequenceScorer::logits(std::span<const std::uint8_t> bytes, int batch,
                                          int length, const RoutingPlan& plan) {
  THERMOE_EXPECT(batch >= 1 && bytes.size() == static_cast<std::size_t>(batch) * length,
                 "{} bytes are not [{}, {}]", bytes.size(), batch, length);
  const at::NoGradGuard no_grad;
  RoutingSums sums;
  const at::Tensor out = impl_->forward(bytes, batch, length, length, plan, sums)
                             .view({length, batch, config().vocab})
                             .transpose(0, 1)
                             .contiguous();
  const float* data = out.const_data_ptr<float>();
  return {data, data + out.numel()};
}

}  // namespace thermoe
