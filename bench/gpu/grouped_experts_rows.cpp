// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <algorithm>
#include <memory>
#include <span>

#include "kernels/expert_ids.h"
#include "kernels/random_device_data.h"
#include "kernels/random_expert_bank.h"
#include "rows.h"
#include "shared_data.h"

namespace thermoe::bench {
namespace {

// Qwen3-30B-A3B.
constexpr int kExperts = 128;
constexpr int kTopk = 8;
constexpr ExpertLayerShape kShape{.experts = kExperts, .d_model = 2048, .d_ff = 768};
constexpr int kLayers = 2;  // of 0.3 or 1.2 GB: what a call reads has left L2 when it comes again

using Layers = std::vector<DeviceExpertBank>;

struct Batch {
  int tokens;
  int active;  ///< D
};

/// Where a batch's tokens go, and its order by expert.
struct Routing {
  DeviceMemory expert;
  DeviceMemory first;
  DeviceMemory pair;
};

Routing make_routing(const Batch& b, unsigned seed) {
  const auto ids = ids_of_breadth(
      {.tokens = b.tokens, .k = kTopk, .experts = kExperts, .active = b.active}, seed);
  std::vector<std::int32_t> first(kExperts + 1);
  std::vector<std::int32_t> pair(ids.size());
  order_by_expert(ids.data(), b.tokens, kTopk, kExperts, {first.data(), pair.data()});
  const auto upload = [](const std::vector<std::int32_t>& v) {
    return on_device(std::span<const std::int32_t>(v));
  };
  return {.expert = upload(ids), .first = upload(first), .pair = upload(pair)};
}

/// What the calls of a row work on.
struct Data {
  std::shared_ptr<Layers> layers;
  std::vector<Routing> routings;
  DeviceMemory hidden;
  DeviceMemory weight;
  DeviceMemory workspace;
  DeviceMemory out;
};

std::shared_ptr<Data> make_data(const Batch& b, std::shared_ptr<Layers> layers) {
  const auto cells = static_cast<std::size_t>(b.tokens) * kShape.d_model;
  auto data = std::make_shared<Data>();
  data->layers = std::move(layers);
  const int routings = std::clamp(32768 / b.tokens, 8, 128);
  for (int i = 0; i < routings; ++i) {
    data->routings.push_back(make_routing(b, static_cast<unsigned>(i)));
  }
  data->hidden = normal_bf16(cells, 1);
  data->weight = normal_f32(static_cast<std::size_t>(b.tokens) * kTopk, 2, 0.1F);
  data->workspace =
      DeviceMemory(grouped_experts_workspace(Backend::kCuda, kShape, b.tokens, kTopk));
  data->out = DeviceMemory(cells * 2);
  return data;
}

void enqueue(const Data& data, const Batch& b, int call, Stream stream) {
  const auto i = static_cast<std::size_t>(call);
  const Routing& routing = data.routings[i % data.routings.size()];
  grouped_experts(Backend::kCuda,
                  {.bank = (*data.layers)[i % data.layers->size()].view(),
                   .hidden = data.hidden.data(),
                   .hidden_type = FloatType::kBf16,
                   .tokens = b.tokens,
                   .expert = routing.expert.as<std::int32_t>(),
                   .weight = data.weight.as<float>(),
                   .slots = kTopk,
                   .order = {routing.first.as<std::int32_t>(), routing.pair.as<std::int32_t>()},
                   .workspace = data.workspace.data(),
                   .workspace_size = data.workspace.size(),
                   .out = data.out.data(),
                   .out_type = FloatType::kBf16},
                  stream);
}

Row layer_row(const Batch& b, bool int4, const SharedData<Layers>& shared) {
  const BankPrecisions precisions{.bf16 = !int4, .int4 = int4};
  const auto prepare = [=] {
    const auto data = make_data(b, shared.get([&] {
      Layers layers;
      for (unsigned l = 0; l < kLayers; ++l) {
        layers.push_back(random_expert_bank(kShape, precisions, l));
      }
      return layers;
    }));
    const auto all = static_cast<double>(random_expert_bank_bytes(kShape, precisions));
    return Work{.enqueue = [=](int call, Stream stream) { enqueue(*data, b, call, stream); },
                .bytes = all * b.active / kExperts + 2.0 * static_cast<double>(data->out.size())};
  };
  Row row{.op = "grouped_experts",
          .shape = {{"tokens", b.tokens},
                    {"active", b.active},
                    {"experts", kExperts},
                    {"k", kTopk},
                    {"d_model", kShape.d_model},
                    {"d_ff", kShape.d_ff},
                    {"weights", int4 ? "int4" : "bf16"}},
          .impl = "cuda",
          .prepare = prepare};
  if (int4) row.shape["group"] = 128;
  return row;
}

}  // namespace

std::vector<Row> grouped_experts_rows() {
  std::vector<Row> rows;
  for (const bool int4 : {false, true}) {
    const SharedData<Layers> shared;
    for (const Batch& batch : {Batch{1, 8}, Batch{16, 82}, Batch{16, 64}, Batch{16, 40},
                               Batch{16, 24}, Batch{64, 125}, Batch{256, 128}, Batch{4096, 128}}) {
      rows.push_back(layer_row(batch, int4, shared));
    }
  }
  return rows;
}

}  // namespace thermoe::bench
