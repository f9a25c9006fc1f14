// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/host_works.h"

#include <unistd.h>

#include <bit>

#include "core/errors.h"
#include "core/router_spec.h"
#include "kernels/aligned_vector.h"
#include "kernels/decode_attention.h"
#include "kernels/expert_bank.h"
#include "kernels/expert_ids.h"
#include "kernels/fused_dequant_linear.h"
#include "kernels/grouped_experts.h"
#include "kernels/linear.h"
#include "kernels/topk_route.h"
#include "kernels/unfused.h"

namespace thermoe {
namespace {

constexpr double kMostBytes = 4e9;  // of copies of one table's weights
constexpr std::size_t kRoutings = 16;

/// Numbers of mean 0, as small as trained weights; a generator that keeps up with memory.
AlignedVector<float> random_floats(std::size_t n, std::uint64_t seed, float scale) {
  AlignedVector<float> values(n);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15ULL + 1;
  for (float& value : values) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    value = scale * static_cast<float>(static_cast<std::int32_t>(state >> 32)) * 0x1p-31F;
  }
  return values;
}

/// The same, exact in bf16.
void round_to_bf16(AlignedVector<float>& values) {
  for (float& value : values) {
    value = std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) & 0xffff0000U);
  }
}

std::size_t product(int a, int b) {
  return static_cast<std::size_t>(a) * static_cast<std::size_t>(b);
}

/// A batch's picks and their order.
struct Routing {
  std::vector<std::int32_t> expert{};
  std::vector<std::int32_t> first{};
  std::vector<std::int32_t> pair{};
};

Routing make_routing(const Breadth& breadth, unsigned seed) {
  Routing r{.expert = ids_of_breadth(breadth, seed)};
  r.first.resize(static_cast<std::size_t>(breadth.experts) + 1);
  r.pair.resize(r.expert.size());
  order_by_expert(r.expert.data(), breadth.tokens, breadth.k, breadth.experts,
                  {r.first.data(), r.pair.data()});
  return r;
}

}  // namespace

struct HostWorks::Parts {
  std::uint64_t seed;
  double cache;
  LastWeights<ExpertBank> banks{};
  LastWeights<LinearWeights> matrices{};
  LastWeights<Int4Weights> packed{};

  int copies(const OpPoint& point) const { return rotating_copies(point, cache, kMostBytes); }
  AlignedVector<float> weights(std::size_t n, int copy) const {
    return random_floats(n, seed + static_cast<std::uint64_t>(copy) + 1, 0.05F);
  }

  ExpertBank make_bank(const OpKey& key, int copy) const;
  OpWork experts(const OpPoint& point);
  OpWork dense(const OpPoint& point);
  std::shared_ptr<const std::vector<Int4Weights>> int4(const OpPoint& point);
  OpWork fused(const OpPoint& point);
  OpWork unpack(const OpPoint& point);
  OpWork activation(const OpPoint& point) const;
  OpWork route(const OpPoint& point) const;
  OpWork attention(const OpPoint& point) const;
};

ExpertBank HostWorks::Parts::make_bank(const OpKey& key, int copy) const {
  const bool gated = key.op == "moe_experts";
  const ExpertLayerShape shape{.experts = key.shape.at(0),
                               .d_model = key.shape.at(2),
                               .d_ff = key.shape.at(3),
                               .kind = gated ? ExpertKind::kSwiGlu : ExpertKind::kRelu};
  const std::size_t cells = product(shape.experts, shape.d_ff) * key.shape.at(2);
  auto all = weights(cells * (gated ? 3 : 2), copy);
  if (key.dtype == "bf16") round_to_bf16(all);
  const ExpertTensors tensors{.gate = gated ? all.data() + 2 * cells : nullptr,
                              .up = all.data(),
                              .down = all.data() + cells};
  ExpertBank bank(shape);
  if (key.group_size) {
    bank.load_int4(tensors, {.group = *key.group_size});
  } else {
    bank.load_f32(tensors);
  }
  return bank;
}

OpWork HostWorks::Parts::experts(const OpPoint& point) {
  struct Data {
    std::shared_ptr<const std::vector<ExpertBank>> banks;
    std::vector<Routing> routings;
    AlignedVector<float> hidden, weight, out;
    AlignedVector<std::byte> workspace;
  };
  const auto tokens = static_cast<int>(point.tokens);
  const Breadth breadth{.tokens = tokens,
                        .k = point.key.shape.at(1),
                        .experts = point.key.shape.at(0),
                        .active = static_cast<int>(*point.active_experts)};
  auto data = std::make_shared<Data>();
  data->banks = banks.get(point.key, copies(point), [&](int i) { return make_bank(point.key, i); });
  for (unsigned i = 0; i < kRoutings; ++i) {
    data->routings.push_back(make_routing(breadth, static_cast<unsigned>(seed) + i));
  }
  const ExpertLayerShape& shape = data->banks->front().shape();
  data->hidden = random_floats(product(tokens, shape.d_model), seed, 1.0F);
  data->weight = random_floats(product(tokens, breadth.k), seed + 1, 0.1F);
  data->out.resize(data->hidden.size());
  data->workspace.resize(grouped_experts_workspace(Backend::kCpu, shape, tokens, breadth.k));
  return {[=](int call, Stream stream) {
    const auto i = static_cast<std::size_t>(call);
    Routing& routing = data->routings[i % data->routings.size()];
    grouped_experts(Backend::kCpu,
                    {.bank = (*data->banks)[i % data->banks->size()].view(),
                     .hidden = data->hidden.data(),
                     .tokens = tokens,
                     .expert = routing.expert.data(),
                     .weight = data->weight.data(),
                     .slots = breadth.k,
                     .order = {routing.first.data(), routing.pair.data()},
                     .workspace = data->workspace.data(),
                     .workspace_size = data->workspace.size(),
                     .out = data->out.data()},
                    stream);
  }};
}

OpWork HostWorks::Parts::dense(const OpPoint& point) {
  const int out = point.key.shape.at(0), in = point.key.shape.at(1);
  const auto tokens = static_cast<int>(point.tokens);
  const auto all = matrices.get(point.key, copies(point), [&](int i) {
    return LinearWeights(weights(product(out, in), i), out, in);
  });
  const auto x =
      std::make_shared<AlignedVector<float>>(random_floats(product(tokens, in), seed, 1));
  const auto y = std::make_shared<AlignedVector<float>>(product(tokens, out));
  return {[=](int call, Stream /*stream*/) {
    const LinearWeights& matrix = (*all)[static_cast<std::size_t>(call) % all->size()];
    linear({.x = x->data(), .rows = tokens, .weights = &matrix, .out = y->data()});
  }};
}

std::shared_ptr<const std::vector<Int4Weights>> HostWorks::Parts::int4(const OpPoint& point) {
  const int out = point.key.shape.at(0), in = point.key.shape.at(1);
  OpKey key = point.key;
  key.op.clear();  // unpacking reads what the fused product reads
  return packed.get(key, copies(point), [&](int i) {
    return quantise_int4(weights(product(out, in), i).data(), out, in,
                         {.group = *point.key.group_size});
  });
}

OpWork HostWorks::Parts::fused(const OpPoint& point) {
  const int out = point.key.shape.at(0), in = point.key.shape.at(1);
  const auto tokens = static_cast<int>(point.tokens);
  const auto all = int4(point);
  const auto x =
      std::make_shared<AlignedVector<float>>(random_floats(product(tokens, in), seed, 1));
  const auto y = std::make_shared<AlignedVector<float>>(product(tokens, out));
  return {[=](int call, Stream stream) {
    const Int4Weights& matrix = (*all)[static_cast<std::size_t>(call) % all->size()];
    fused_dequant_linear(
        Backend::kCpu,
        {.x = x->data(), .tokens = tokens, .weights = matrix.view(), .out = y->data()}, stream);
  }};
}

OpWork HostWorks::Parts::unpack(const OpPoint& point) {
  const auto all = int4(point);
  const auto y =
      std::make_shared<AlignedVector<float>>(product(point.key.shape.at(0), point.key.shape.at(1)));
  return {[=](int call, Stream stream) {
    const Int4Weights& matrix = (*all)[static_cast<std::size_t>(call) % all->size()];
    dequant_unpack(Backend::kCpu, {.weights = matrix.view(), .out = y->data()}, stream);
  }};
}

OpWork HostWorks::Parts::activation(const OpPoint& point) const {
  const int width = point.key.shape.at(0);
  const auto tokens = static_cast<int>(point.tokens);
  const bool gated = point.key.op == "activation_silu_mul";
  const std::size_t cells = product(tokens, width);
  const auto x = std::make_shared<AlignedVector<float>>(random_floats(2 * cells, seed, 2.0F));
  const auto y = std::make_shared<AlignedVector<float>>(cells);
  return {[=](int /*call*/, Stream stream) {
    expert_activation(Backend::kCpu,
                      {.kind = gated ? ExpertKind::kSwiGlu : ExpertKind::kRelu,
                       .gate = gated ? x->data() + cells : nullptr,
                       .up = x->data(),
                       .tokens = tokens,
                       .width = width,
                       .out = y->data()},
                      stream);
  }};
}

OpWork HostWorks::Parts::route(const OpPoint& point) const {
  struct Data {
    RouterSpec spec;
    AlignedVector<float> logits;
    std::vector<std::int32_t> expert, counts, first, pair;
    std::vector<float> weight;
    AlignedVector<std::byte> workspace;
  };
  const auto tokens = static_cast<int>(point.tokens);
  auto data = std::make_shared<Data>();
  data->spec = {.experts = point.key.shape.at(0), .k = point.key.shape.at(1)};
  const int experts = data->spec.experts, k = data->spec.k;
  const std::size_t cells = product(tokens, experts);
  data->logits = random_floats(kRoutings * cells, seed, 3.0F);
  data->expert.resize(product(tokens, k));
  data->pair.resize(product(tokens, k));
  data->weight.resize(product(tokens, k));
  data->counts.resize(static_cast<std::size_t>(experts));
  data->first.resize(static_cast<std::size_t>(experts) + 1);
  data->workspace.resize(topk_route_workspace(Backend::kCpu, RouterView(data->spec, 0), tokens, k));
  return {[=](int call, Stream stream) {
    const float* logits = data->logits.data() + static_cast<std::size_t>(call) % kRoutings * cells;
    topk_route(Backend::kCpu,
               {.logits = logits,
                .tokens = tokens,
                .router = RouterView(data->spec, 0),
                .expert = data->expert.data(),
                .weight = data->weight.data(),
                .slots = k,
                .counts = data->counts.data(),
                .order = {data->first.data(), data->pair.data()},
                .workspace = data->workspace.data(),
                .workspace_size = data->workspace.size()},
               stream);
  }};
}

OpWork HostWorks::Parts::attention(const OpPoint& point) const {
  struct Data {
    KvLayout layout;
    AlignedVector<float> keys, values, query, scratch, out;
    std::vector<int> positions;
  };
  auto data = std::make_shared<Data>();
  data->layout = {.streams = static_cast<int>(point.tokens),
                  .heads = point.key.shape.at(0),
                  .head_dim = point.key.shape.at(1),
                  .context = point.key.shape.at(2)};
  const int row = data->layout.heads * data->layout.head_dim;
  data->keys = random_floats(data->layout.keys(), seed, 1.0F);
  data->values = random_floats(data->layout.values(), seed + 1, 1.0F);
  data->query = random_floats(product(data->layout.streams, row), seed + 2, 1.0F);
  data->scratch.resize(data->layout.scratch());
  data->out.resize(data->query.size());
  data->positions.assign(static_cast<std::size_t>(data->layout.streams), data->layout.context - 1);
  return {[=](int /*call*/, Stream /*stream*/) {
    decode_attention({.layout = data->layout,
                      .query = data->query.data(),
                      .query_stride = row,
                      .keys = data->keys.data(),
                      .values = data->values.data(),
                      .positions = data->positions,
                      .scratch = data->scratch,
                      .out = data->out.data()});
  }};
}

double host_cache_bytes() {
  const long bytes = ::sysconf(_SC_LEVEL3_CACHE_SIZE);
  constexpr long kUsual = 32L << 20;
  return static_cast<double>(bytes > 0 ? bytes : kUsual);
}

HostWorks::HostWorks(std::uint64_t seed, double cache_bytes)
    : parts_(new Parts{.seed = seed, .cache = cache_bytes}) {}
HostWorks::~HostWorks() = default;

OpWork HostWorks::make(const OpPoint& point) {
  const std::string& op = point.key.op;
  if (op.starts_with("moe_experts")) return parts_->experts(point);
  if (op == "linear") return parts_->dense(point);
  if (op == "fused_dequant_linear") return parts_->fused(point);
  if (op == "dequant_unpack") return parts_->unpack(point);
  if (op == "topk_route") return parts_->route(point);
  if (op == "decode_attention") return parts_->attention(point);
  THERMOE_EXPECT(op.starts_with("activation_"), "{} is no op of the cpu backend", op);
  return parts_->activation(point);
}

}  // namespace thermoe
