// SPDX-License-Identifier: Apache-2.0
#include "moe/sequence_scorer.h"

#include <torch/torch.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "core/routing_stats.h"
#include "moe/device.h"
#include "moe/layer_experts.h"
#include "moe/model_weights.h"
#include "moe/tensor_experts.h"
#include "moe/tensor_routing.h"
#include "moe/transformer_tensors.h"

namespace thermoe {
namespace {

at::Tensor copied(const std::vector<float>& values, at::IntArrayRef shape, at::Device device) {
  return at::from_blob(const_cast<float*>(values.data()), shape, at::kFloat)
      .to(at::TensorOptions().device(device), /*non_blocking=*/false, /*copy=*/true);
}

/// Where the kernels' backend reads tensors: beside the others if it can.
at::Device kernel_device(const ScorerOptions& o, at::Device device) {
  switch (o.kernels.value_or(device.is_cuda() ? Backend::kCuda : Backend::kCpu)) {
    case Backend::kCpu:
      return at::kCPU;
    case Backend::kCuda:
      return device.is_cuda() ? device : torch_device("cuda");
    case Backend::kTriton:
      break;
  }
  throw UsageError("kernels triton: there are none for routing under a plan; use cuda or cpu");
}

struct Block {
  Block(const LayerWeights& w, const ModelConfig& c, const ScorerOptions& o, at::Device device,
        at::Device kernels)
      : attn_norm(copied(w.attn_norm, {c.d_model}, device)),
        qkv(copied(w.qkv, {3 * c.d_model, c.d_model}, device)),
        attn_out(copied(w.attn_out, {c.d_model, c.d_model}, device)),
        moe_norm(copied(w.moe_norm, {c.d_model}, device)),
        router(copied(w.router, {c.experts, c.d_model}, device)),
        experts(make_expert_bank(w, c, o.experts, o.int4_group),
                kernels.is_cuda() ? Backend::kCuda : Backend::kCpu) {}

  at::Tensor attn_norm;
  at::Tensor qkv;
  at::Tensor attn_out;
  at::Tensor moe_norm;
  at::Tensor router;
  LayerExperts experts;
};

/// Sums of a forward pass over layers.
struct RoutingSums {
  double active = 0.0;                        // mean distinct experts a batch
  double kept_mass = 0.0;                     // mean a token
  double quality_loss = 0.0;                  // mean a token, nats
  std::vector<std::int64_t> expert_tokens{};  // [layers, experts]
};

/// Keeps LibTorch's operators on the calling thread while it lives: batches are what runs side by
/// side.
class OneThread {
 public:
  OneThread() { at::set_num_threads(1); }
  ~OneThread() { at::set_num_threads(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_ = at::get_num_threads();
};

}  // namespace

struct SequenceScorer::Impl {
  Impl(const ModelWeights& w, const ScorerOptions& o);

  at::Tensor forward(std::span<const std::uint8_t> bytes, int batch, int length, int stride,
                     const RoutingPlan& plan, RoutingSums& sums) const;
  at::Tensor attention(const Block& block, const at::Tensor& x, int batch, int length) const;
  at::Tensor experts(const at::Tensor& x, int layer, int batch, const RoutingPlan& plan,
                     AdaptiveRouter& router, RoutingSums& sums) const;

  ModelConfig config;
  ScorerOptions options;
  at::Device device;
  at::Device kernels;  // of routing and experts
  at::Tensor embed;
  at::Tensor final_norm;
  at::Tensor head;
  std::vector<Block> blocks;
  int threads;
};

SequenceScorer::Impl::Impl(const ModelWeights& w, const ScorerOptions& o)
    : config(w.config),
      options(o),
      device(torch_device(o.device)),
      kernels(kernel_device(o, device)),
      embed(copied(w.embed, {config.vocab, config.d_model}, device)),
      final_norm(copied(w.final_norm, {config.d_model}, device)),
      head(copied(w.head, {config.vocab, config.d_model}, device)),
      threads(device.is_cuda() || kernels.is_cuda() ? 1 : at::get_num_threads()) {
  for (const LayerWeights& layer : w.layers) {
    blocks.emplace_back(layer, config, options, device, kernels);
  }
}

/// x [length * batch, d], tokens of one position beside each other.
at::Tensor SequenceScorer::Impl::attention(const Block& block, const at::Tensor& x, int batch,
                                           int length) const {
  const std::int64_t hd = config.head_dim();
  const RotaryAngles angles = rotary_angles(length, hd, config.rope_base, device);
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
                                         RoutingSums& sums) const {
  const Block& block = blocks[layer];
  const at::Tensor hidden = rms_norm(x, block.moe_norm, config.norm_eps).contiguous();
  const Routing routing =
      route_batches(router, at::linear(hidden, block.router).to(kernels), batch, plan, layer);
  sums.active += static_cast<double>(routing.counts.gt(0).sum().item<std::int64_t>()) /
                 static_cast<double>(routing.counts.size(0));
  const at::Tensor kept = routing.kept_mass.to(at::kDouble);
  sums.kept_mass += kept.mean().item<double>();
  sums.quality_loss -= kept.clamp_min(kLeastKeptMass).log().mean().item<double>();

  const at::Tensor total = routing.counts.sum(0).to(at::kCPU);
  const auto* received = total.const_data_ptr<std::int64_t>();
  sums.expert_tokens.insert(sums.expert_tokens.end(), received, received + total.numel());
  const bool mixed = options.experts == ExpertType::kMixed;
  return run_experts(block.experts.view(), hidden.to(kernels), routing,
                     mixed ? plan.variant(layer) : std::span<const std::uint8_t>{})
      .to(device);
}

/// Logits [length * batch, vocab], position by position. Row b of `bytes` starts at b * stride.
at::Tensor SequenceScorer::Impl::forward(std::span<const std::uint8_t> bytes, int batch, int length,
                                         int stride, const RoutingPlan& plan,
                                         RoutingSums& sums) const {
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
  at::Tensor x = embed.index_select(0, ids.view(-1).to(device));
  for (int l = 0; l < config.layers; ++l) {
    x = x + attention(blocks[l], x, batch, length);
    x = x + experts(x, l, batch, plan, router, sums);
  }
  sums.active /= config.layers;
  sums.kept_mass /= config.layers;
  sums.quality_loss /= config.layers;
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
int SequenceScorer::threads() const { return impl_->threads; }
RoutingPlan SequenceScorer::baseline() const {
  return baseline_plan(impl_->config, impl_->options.experts);
}

SequenceScore SequenceScorer::score(std::span<const std::uint8_t> bytes, int batch, int length,
                                    const RoutingPlan& plan) const {
  THERMOE_EXPECT(
      batch >= 1 && length >= 2 && bytes.size() == static_cast<std::size_t>(batch) * length,
      "{} bytes are not [{}, {}] with a length of at least 2", bytes.size(), batch, length);
  const at::NoGradGuard no_grad;
  const OneThread one_thread;
  RoutingSums sums;
  const at::Tensor predicted = impl_->forward(bytes, batch, length - 1, length, plan, sums);
  const at::Tensor next = at::empty({length - 1, batch}, at::kLong);
  auto target = next.accessor<std::int64_t, 2>();
  for (int b = 0; b < batch; ++b) {
    for (int p = 1; p < length; ++p)
      target[p - 1][b] = bytes[static_cast<std::size_t>(b) * length + p];
  }
  const at::Tensor bits =
      (at::log_softmax(predicted, -1).gather(1, next.view({-1, 1}).to(impl_->device)) *
       (-1.0 / std::log(2.0)))
          .view({length - 1, batch})
          .t()
          .to(at::kCPU)
          .contiguous();
  const float* bit = bits.const_data_ptr<float>();
  return {.targets = bits.numel(),
          .bits_per_byte = bits.to(at::kDouble).mean().item<double>(),
          .mean_active = sums.active,
          .kept_mass = sums.kept_mass,
          .quality_loss = sums.quality_loss,
          .bits = {bit, bit + bits.numel()},
          .expert_tokens = std::move(sums.expert_tokens)};
}

std::vector<float> SequenceScorer::logits(std::span<const std::uint8_t> bytes, int batch,
                                          int length, const RoutingPlan& plan) const {
  THERMOE_EXPECT(batch >= 1 && bytes.size() == static_cast<std::size_t>(batch) * length,
                 "{} bytes are not [{}, {}]", bytes.size(), batch, length);
  const at::NoGradGuard no_grad;
  const OneThread one_thread;
  RoutingSums sums;
  const at::Tensor out = impl_->forward(bytes, batch, length, length, plan, sums)
                             .view({length, batch, config().vocab})
                             .transpose(0, 1)
                             .to(at::kCPU)
                             .contiguous();
  const float* data = out.const_data_ptr<float>();
  return {data, data + out.numel()};
}

}  // namespace thermoe
