// SPDX-License-Identifier: Apache-2.0
#include "moe/decoder.h"

#include <algorithm>
#include <optional>

#include "core/errors.h"
#include "kernels/aligned_vector.h"
#include "kernels/decode_attention.h"
#include "kernels/grouped_experts.h"
#include "kernels/linear.h"
#include "moe/device_step.h"
#include "moe/kv_cache.h"
#include "moe/layer_experts.h"
#include "moe/model_weights.h"
#include "moe/rms_norm.h"
#include "moe/rotary_table.h"
#include "moe/step_routing.h"

namespace thermoe {
namespace {

/// One block's parameters as decoding reads them.
struct Block {
  Block(LayerWeights&& w, const ModelConfig& c, const DecoderOptions& o)
      : attn_norm(std::move(w.attn_norm)),
        moe_norm(std::move(w.moe_norm)),
        qkv(w.qkv, 3 * c.d_model, c.d_model),
        attn_out(w.attn_out, c.d_model, c.d_model),
        router(w.router, c.experts, c.d_model),
        experts(make_expert_bank(w, c, o.experts, o.int4_group), o.kernels) {}

  std::vector<float> attn_norm;
  std::vector<float> moe_norm;
  LinearWeights qkv;
  LinearWeights attn_out;
  LinearWeights router;
  LayerExperts experts;
};

const DecoderOptions& checked(const DecoderOptions& o, const ModelConfig& c) {
  if (o.kernels == Backend::kTriton) {
    throw UsageError("kernels triton: there are none for routing under a plan; use cuda or cpu");
  }
  if (const auto problem = backend_problem(o.kernels)) {
    throw UsageError(fmt::format("kernels {}: {}", to_string(o.kernels), *problem));
  }
  THERMOE_EXPECT(o.streams >= 1, "streams={} must be at least 1", o.streams);
  THERMOE_EXPECT(1 <= o.context && o.context <= c.context,
                 "context={} is not in 1..{}, the model's longest", o.context, c.context);
  return o;
}

std::size_t cells(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

}  // namespace

struct Decoder::Impl {
  Impl(ModelWeights&& weights, const DecoderOptions& decoder_options);

  void attend(int layer);
  void run_moe(int layer, const RoutingPlan& plan);
  LayerRouting run_experts(int layer, const RoutingPlan& plan, std::span<const float> gate_logits);
  LayerRouting run_experts_on_device(int layer, const RoutingPlan& plan,
                                     std::span<const float> gate_logits);
  void multiply(const LinearWeights& weights, std::span<const float> rows,
                std::span<float> out) const;
  void add_to_x();

  ModelConfig config;
  DecoderOptions options;
  std::vector<float> embed;
  std::vector<float> final_norm;
  LinearWeights head;
  std::vector<Block> blocks;
  RotaryTable rotary;
  KvCache cache;
  AdaptiveRouter router;
  std::optional<DeviceStep> device;    // where kernels are not the CPU's
  AlignedVector<std::byte> workspace;  // of the experts
  std::uint64_t steps = 0;
  std::vector<int> positions;  // [streams]

  std::vector<float> x;         // [streams, d] residual stream
  std::vector<float> normed;    // [streams, d]
  std::vector<float> qkv;       // [streams, 3 d]
  std::vector<float> attended;  // [streams, d]
  std::vector<float> update;    // [streams, d] what a sublayer adds to x
  std::vector<float> scores;    // scratch of attention
  std::vector<float> logits;    // [streams, vocab]
  RoutingStats stats;
  KeptMass kept{};  // of the step under way
  LogitSample sample;
  StepRouting step_routing;
  DecodeStep result;
};

Decoder::Impl::Impl(ModelWeights&& w, const DecoderOptions& decoder_options)
    : config(w.config),
      options(checked(decoder_options, w.config)),
      embed(std::move(w.embed)),
      final_norm(std::move(w.final_norm)),
      head(w.head, config.vocab, config.d_model),
      rotary(options.context, config.head_dim(), config.rope_base),
      cache(config.layers, {.streams = options.streams,
                            .heads = config.heads,
                            .head_dim = config.head_dim(),
                            .context = options.context}),
      router(router_spec(config, options.denominator), options.streams),
      positions(options.streams),
      x(cells(options.streams, config.d_model)),
      normed(x.size()),
      qkv(3 * x.size()),
      attended(x.size()),
      update(x.size()),
      scores(cache.layout().scratch()),
      logits(cells(options.streams, config.vocab)),
      stats{.layers = config.layers,
            .experts = config.experts,
            .tokens = options.streams,
            .counts = std::vector<std::int32_t>(cells(config.layers, config.experts))},
      sample{.layers = config.layers,
             .tokens = options.streams,
             .experts = config.experts,
             .logits = std::vector<float>(cells(config.layers, options.streams) * config.experts)},
      step_routing(config.layers, config.experts, options.streams),
      result{.logits = logits, .stats = stats, .sample = sample, .routing = step_routing.layers()} {
  for (LayerWeights& layer : w.layers) blocks.emplace_back(std::move(layer), config, options);
  const int slots = std::min(config.top_k + 1, config.experts);  // a mixed k takes one more
  const ExpertLayerShape shape = blocks.front().experts.view().shape;
  if (options.kernels == Backend::kCpu) {
    workspace.resize(grouped_experts_workspace(Backend::kCpu, shape, options.streams, slots));
  } else {
    device.emplace(router.router(), shape, config.layers, options.streams);
  }
}

/// out = rows Wᵀ, a row a stream.
void Decoder::Impl::multiply(const LinearWeights& weights, std::span<const float> rows,
                             std::span<float> out) const {
  linear({.x = rows.data(), .rows = options.streams, .weights = &weights, .out = out.data()});
}

void Decoder::Impl::add_to_x() {
  for (std::size_t i = 0; i < x.size(); ++i) x[i] += update[i];
}

/// x += attention(norm(x)), each stream over its own past.
void Decoder::Impl::attend(int l) {
  const Block& block = blocks[l];
  const int d = config.d_model;
  const int hd = config.head_dim();
  rms_norm_rows(x.data(), options.streams, d, block.attn_norm.data(), config.norm_eps,
                normed.data());
  multiply(block.qkv, normed, qkv);
  for (int b = 0; b < options.streams; ++b) {
    float* query = qkv.data() + cells(b, 3 * d);
    float* key = query + d;
    for (int h = 0; h < config.heads; ++h) {
      rotary.rotate(query + h * hd, positions[b]);
      rotary.rotate(key + h * hd, positions[b]);
    }
    cache.store(l, b, positions[b], key, key + d);
  }
  decode_attention({.layout = cache.layout(),
                    .query = qkv.data(),
                    .query_stride = 3 * d,
                    .keys = cache.keys(l),
                    .values = cache.values(l),
                    .positions = positions,
                    .scratch = scores,
                    .out = attended.data()});
  multiply(block.attn_out, attended, update);
  add_to_x();
}

/// x += experts(norm(x)), the batch routed as one decode step under the plan's row.
void Decoder::Impl::run_moe(int l, const RoutingPlan& plan) {
  rms_norm_rows(x.data(), options.streams, config.d_model, blocks[l].moe_norm.data(),
                config.norm_eps, normed.data());
  const std::size_t size = cells(options.streams, config.experts);
  const std::span<float> gate_logits = std::span(sample.logits).subspan(size * l, size);
  multiply(blocks[l].router, normed, gate_logits);
  const LayerRouting routing =
      device ? run_experts_on_device(l, plan, gate_logits) : run_experts(l, plan, gate_logits);
  std::copy(routing.counts.begin(), routing.counts.end(),
            stats.counts.begin() + static_cast<std::ptrdiff_t>(cells(l, config.experts)));
  for (const float m : routing.kept_mass) kept.add(m);
  step_routing.keep(l, routing);
  add_to_x();
}

LayerRouting Decoder::Impl::run_experts(int l, const RoutingPlan& plan,
                                        std::span<const float> gate_logits) {
  const LayerRouting routing = router.route(gate_logits, options.streams, plan, l, steps);
  const bool mixed = options.experts == ExpertType::kMixed;
  grouped_experts(Backend::kCpu,
                  {.bank = blocks[l].experts.view(),
                   .hidden = normed.data(),
                   .tokens = options.streams,
                   .expert = routing.expert.data(),
                   .weight = routing.weight.data(),
                   .slots = routing.slots,
                   .order = routing.order,
                   .variant = mixed ? plan.variant(l).data() : nullptr,
                   .workspace = workspace.data(),
                   .workspace_size = workspace.size(),
                   .out = update.data()},
                  Stream{nullptr});
  return routing;
}

LayerRouting Decoder::Impl::run_experts_on_device(int l, const RoutingPlan& plan,
                                                  std::span<const float> gate_logits) {
  if (l == 0) device->begin(plan, steps);
  return device->run({.layer = l,
                      .experts = blocks[l].experts.view(),
                      .by_variant = options.experts == ExpertType::kMixed,
                      .slots = router.slots(plan, l),
                      .logits = gate_logits,
                      .hidden = normed,
                      .out = update});
}

Decoder::Decoder(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Decoder::~Decoder() = default;

std::unique_ptr<Decoder> Decoder::load(const std::string& path, const DecoderOptions& options) {
  return std::unique_ptr<Decoder>(
      new Decoder(std::make_unique<Impl>(load_model_weights(path), options)));
}

const ModelConfig& Decoder::config() const { return impl_->config; }
const DecoderOptions& Decoder::options() const { return impl_->options; }
const RouterSpec& Decoder::router() const { return impl_->router.router(); }

void Decoder::reset(int stream) {
  THERMOE_EXPECT(0 <= stream && stream < impl_->options.streams, "stream {} is not in 0..{}",
                 stream, impl_->options.streams - 1);
  impl_->positions[stream] = 0;
}

int Decoder::position(int stream) const {
  THERMOE_EXPECT(0 <= stream && stream < impl_->options.streams, "stream {} is not in 0..{}",
                 stream, impl_->options.streams - 1);
  return impl_->positions[stream];
}

const DecodeStep& Decoder::step(std::span<const std::uint8_t> bytes, const RoutingPlan& plan) {
  Impl& m = *impl_;
  const int streams = m.options.streams;
  THERMOE_EXPECT(bytes.size() == static_cast<std::size_t>(streams), "{} bytes for {} streams",
                 bytes.size(), streams);
  THERMOE_EXPECT(plan.layers() == m.config.layers && plan.experts() == m.config.experts,
                 "a plan of {} layers x {} experts for a model of {} x {}", plan.layers(),
                 plan.experts(), m.config.layers, m.config.experts);
  for (int b = 0; b < streams; ++b) {
    THERMOE_EXPECT(m.positions[b] < m.options.context,
                   "stream {} holds {} bytes, its whole context: reset it", b, m.positions[b]);
    THERMOE_EXPECT(bytes[b] < m.config.vocab, "byte {} is outside the vocabulary of {}", bytes[b],
                   m.config.vocab);
  }
  const int d = m.config.d_model;
  for (int b = 0; b < streams; ++b) {
    std::copy_n(m.embed.data() + cells(bytes[b], d), d, m.x.data() + cells(b, d));
  }
  m.kept = {};
  for (int l = 0; l < m.config.layers; ++l) {
    m.attend(l);
    m.run_moe(l, plan);
  }
  m.stats.kept_mass = m.kept.mean();
  m.stats.quality_loss = m.kept.quality_loss();
  rms_norm_rows(m.x.data(), streams, d, m.final_norm.data(), m.config.norm_eps, m.normed.data());
  m.multiply(m.head, m.normed, m.logits);
  for (int& position : m.positions) ++position;
  m.stats.step = m.steps++;
  return m.result;
}

}  // namespace thermoe
