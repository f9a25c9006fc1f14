// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/device_works.h"

#include <algorithm>
#include <span>

#include "core/errors.h"
#include "core/router_spec.h"
#include "kernels/device_description.h"
#include "kernels/device_expert_bank.h"
#include "kernels/expert_ids.h"
#include "kernels/fused_dequant_linear.h"
#include "kernels/grouped_experts.h"
#include "kernels/random_device_data.h"
#include "kernels/random_expert_bank.h"
#include "kernels/topk_route.h"
#include "kernels/unfused.h"

namespace thermoe {
namespace {

constexpr int kLogits = 16;              // sets of them: what routing takes depends on them
constexpr double kShareOfMemory = 0.25;  // that copies of one table's weights may take

std::size_t product(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

/// A batch's picks and their order.
struct Routing {
  DeviceMemory expert, first, pair;
};

Routing make_routing(const Breadth& breadth, unsigned seed) {
  const auto ids = ids_of_breadth(breadth, seed);
  std::vector<std::int32_t> first(static_cast<std::size_t>(breadth.experts) + 1);
  std::vector<std::int32_t> pair(ids.size());
  order_by_expert(ids.data(), breadth.tokens, breadth.k, breadth.experts,
                  {first.data(), pair.data()});
  const auto upload = [](const std::vector<std::int32_t>& v) {
    return on_device(std::span<const std::int32_t>(v));
  };
  return {upload(ids), upload(first), upload(pair)};
}

/// Symmetric int4 weights; the layout of random bits is any layout.
struct Int4Matrix {
  DeviceMemory words, scales;
};

Int4View view_of(const Int4Matrix& matrix, const OpKey& key) {
  return {.words = matrix.words.as<std::uint32_t>(),
          .scales = matrix.scales.as<float>(),
          .outputs = key.shape.at(0),
          .inputs = key.shape.at(1),
          .group = *key.group_size};
}

}  // namespace

struct DeviceWorks::Parts {
  std::uint64_t seed;
  double cache = 0.0;
  double most_bytes = 0.0;
  LastWeights<DeviceExpertBank> banks{};
  LastWeights<Int4Matrix> matrices{};

  unsigned seed_of(int copy) const {
    return static_cast<unsigned>(seed) + static_cast<unsigned>(copy);
  }
  int copies(const OpPoint& point) const { return rotating_copies(point, cache, most_bytes); }
  OpWork experts(const OpPoint& point);
  std::shared_ptr<const std::vector<Int4Matrix>> int4(const OpPoint& point);
  OpWork fused(const OpPoint& point);
  OpWork unpack(const OpPoint& point);
  OpWork activation(const OpPoint& point) const;
  OpWork route(const OpPoint& point) const;
};

OpWork DeviceWorks::Parts::experts(const OpPoint& point) {
  struct Data {
    std::shared_ptr<const std::vector<DeviceExpertBank>> banks;
    std::vector<Routing> routings;
    DeviceMemory hidden, weight, workspace, out;
  };
  const OpKey& key = point.key;
  const auto tokens = static_cast<int>(point.tokens);
  const ExpertLayerShape shape{
      .experts = key.shape.at(0),
      .d_model = key.shape.at(2),
      .d_ff = key.shape.at(3),
      .kind = key.op == "moe_experts" ? ExpertKind::kSwiGlu : ExpertKind::kRelu};
  const Breadth breadth{.tokens = tokens,
                        .k = key.shape.at(1),
                        .experts = shape.experts,
                        .active = static_cast<int>(*point.active_experts)};
  const BankPrecisions precisions{.bf16 = !key.group_size, .int4 = key.group_size.has_value()};
  auto data = std::make_shared<Data>();
  data->banks = banks.get(key, copies(point), [&](int copy) {
    return random_expert_bank(shape, precisions, seed_of(copy));
  });
  const int routings = std::clamp(8192 / tokens, 8, 64);
  for (int i = 0; i < routings; ++i) data->routings.push_back(make_routing(breadth, seed_of(i)));
  const std::size_t cells = product(tokens, shape.d_model);
  data->hidden = normal_bf16(cells, seed_of(1));
  data->weight = normal_f32(product(tokens, breadth.k), seed_of(2), 0.1F);
  data->workspace =
      DeviceMemory(grouped_experts_workspace(Backend::kCuda, shape, tokens, breadth.k));
  data->out = DeviceMemory(2 * cells);
  return {[=](int call, Stream stream) {
    const auto i = static_cast<std::size_t>(call);
    const Routing& routing = data->routings[i % data->routings.size()];
    grouped_experts(Backend::kCuda,
                    {.bank = (*data->banks)[i % data->banks->size()].view(),
                     .hidden = data->hidden.data(),
                     .hidden_type = FloatType::kBf16,
                     .tokens = tokens,
                     .expert = routing.expert.as<std::int32_t>(),
                     .weight = data->weight.as<float>(),
                     .slots = breadth.k,
                     .order = {routing.first.as<std::int32_t>(), routing.pair.as<std::int32_t>()},
                     .workspace = data->workspace.data(),
                     .workspace_size = data->workspace.size(),
                     .out = data->out.data(),
                     .out_type = FloatType::kBf16},
                    stream);
  }};
}

std::shared_ptr<const std::vector<Int4Matrix>> DeviceWorks::Parts::int4(const OpPoint& point) {
  OpKey key = point.key;
  key.op.clear();  // unpacking reads what the fused product reads
  const std::size_t cells = product(key.shape.at(0), key.shape.at(1));
  const auto group = static_cast<std::size_t>(*key.group_size);
  return matrices.get(key, copies(point), [&](int copy) {
    return Int4Matrix{random_words(cells / Int4View::kPerWord, seed_of(copy)),
                      normal_f32(cells / group, seed_of(copy), 0.005F)};
  });
}

OpWork DeviceWorks::Parts::fused(const OpPoint& point) {
  const OpKey key = point.key;
  const auto tokens = static_cast<int>(point.tokens);
  const auto all = int4(point);
  const auto x = std::make_shared<DeviceMemory>(normal_bf16(product(tokens, key.shape.at(1)), 1));
  const auto out = std::make_shared<DeviceMemory>(2 * product(tokens, key.shape.at(0)));
  return {[=](int call, Stream stream) {
    const Int4Matrix& matrix = (*all)[static_cast<std::size_t>(call) % all->size()];
    fused_dequant_linear(Backend::kCuda,
                         {.x = x->data(),
                          .x_type = FloatType::kBf16,
                          .tokens = tokens,
                          .weights = view_of(matrix, key),
                          .out = out->data(),
                          .out_type = FloatType::kBf16},
                         stream);
  }};
}

OpWork DeviceWorks::Parts::unpack(const OpPoint& point) {
  const OpKey key = point.key;
  const auto all = int4(point);
  const auto out = std::make_shared<DeviceMemory>(2 * product(key.shape.at(0), key.shape.at(1)));
  return {[=](int call, Stream stream) {
    const Int4Matrix& matrix = (*all)[static_cast<std::size_t>(call) % all->size()];
    dequant_unpack(Backend::kCuda,
                   {.weights = view_of(matrix, key), .out = out->data(), .type = FloatType::kBf16},
                   stream);
  }};
}

OpWork DeviceWorks::Parts::activation(const OpPoint& point) const {
  const int width = point.key.shape.at(0);
  const auto tokens = static_cast<int>(point.tokens);
  const bool gated = point.key.op == "activation_silu_mul";
  const std::size_t cells = product(tokens, width);
  const auto x = std::make_shared<DeviceMemory>(normal_bf16(2 * cells, seed_of(0)));
  const auto out = std::make_shared<DeviceMemory>(2 * cells);
  return {[=](int /*call*/, Stream stream) {
    expert_activation(Backend::kCuda,
                      {.kind = gated ? ExpertKind::kSwiGlu : ExpertKind::kRelu,
                       .gate = gated ? x->data() + 2 * cells : nullptr,
                       .up = x->data(),
                       .type = FloatType::kBf16,
                       .tokens = tokens,
                       .width = width,
                       .out = out->data()},
                      stream);
  }};
}

OpWork DeviceWorks::Parts::route(const OpPoint& point) const {
  struct Data {
    std::vector<DeviceMemory> logits;
    DeviceMemory expert, weight, counts, first, pair, workspace;
    TopkRouteArgs args;
  };
  const auto tokens = static_cast<int>(point.tokens);
  const RouterSpec spec{.experts = point.key.shape.at(0), .k = point.key.shape.at(1)};
  auto data = std::make_shared<Data>();
  for (int i = 0; i < kLogits; ++i) {
    data->logits.push_back(normal_f32(product(tokens, spec.experts), seed_of(i), 2.0F));
  }
  const std::size_t picks = product(tokens, spec.k);
  data->expert = DeviceMemory(4 * picks);
  data->weight = DeviceMemory(4 * picks);
  data->counts = DeviceMemory(4 * static_cast<std::size_t>(spec.experts));
  data->first = DeviceMemory(4 * (static_cast<std::size_t>(spec.experts) + 1));
  data->pair = DeviceMemory(4 * picks);
  data->args = {.tokens = tokens,
                .router = RouterView(spec, nullptr),
                .expert = data->expert.as<std::int32_t>(),
                .weight = data->weight.as<float>(),
                .slots = spec.k,
                .counts = data->counts.as<std::int32_t>(),
                .order = {data->first.as<std::int32_t>(), data->pair.as<std::int32_t>()}};
  data->workspace =
      DeviceMemory(topk_route_workspace(Backend::kCuda, data->args.router, tokens, spec.k));
  data->args.workspace = data->workspace.data();
  data->args.workspace_size = data->workspace.size();
  return {[=](int call, Stream stream) {
    TopkRouteArgs args = data->args;
    args.logits = data->logits[static_cast<std::size_t>(call) % data->logits.size()].as<float>();
    topk_route(Backend::kCuda, args, stream);
  }};
}

DeviceWorks::DeviceWorks(std::uint64_t seed) : parts_(new Parts{.seed = seed}) {
  const DeviceDescription device = describe_device();
  parts_->cache = static_cast<double>(device.l2_cache);
  parts_->most_bytes = kShareOfMemory * static_cast<double>(device.free_memory);
}
DeviceWorks::~DeviceWorks() = default;

OpWork DeviceWorks::make(const OpPoint& point) {
  const std::string& op = point.key.op;
  const auto made = [&] {
    if (op.starts_with("moe_experts")) return parts_->experts(point);
    if (op == "fused_dequant_linear") return parts_->fused(point);
    if (op == "dequant_unpack") return parts_->unpack(point);
    if (op == "topk_route") return parts_->route(point);
    THERMOE_EXPECT(op.starts_with("activation_"), "{} is no op of the cuda backend", op);
    return parts_->activation(point);
  };
  OpWork work = made();
  synchronise(Stream{nullptr});
  return work;
}

}  // namespace thermoe
