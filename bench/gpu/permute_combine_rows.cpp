// SPDX-License-Identifier: Apache-2.0
#include "kernels/permute_combine.h"

#include <memory>
#include <span>
#include <vector>

#include "kernels/expert_ids.h"
#include "kernels/random_device_data.h"
#include "rotating_sets.h"
#include "rows.h"

namespace thermoe::bench {
namespace {

constexpr int kTopk = 8;
constexpr int kExperts = 128;
constexpr int kWidth = 2048;

/// What the calls of a row work on. Rows by expert are written and read in turn, so several sets of
/// them keep each from being found in L2.
struct Data {
  DeviceMemory expert;
  DeviceMemory first;
  DeviceMemory pair;
  DeviceMemory weight;
  DeviceMemory row;
  std::vector<DeviceMemory> by_token;
  std::vector<DeviceMemory> by_expert;
  DeviceMemory grad_rows;
  DeviceMemory grad_weight;
};

std::shared_ptr<Data> make_data(int tokens) {
  auto data = std::make_shared<Data>();
  const auto ids =
      ids_of_breadth({.tokens = tokens, .k = kTopk, .experts = kExperts, .active = kExperts}, 1);
  std::vector<std::int32_t> first(kExperts + 1);
  std::vector<std::int32_t> pair(ids.size());
  order_by_expert(ids.data(), tokens, kTopk, kExperts, {first.data(), pair.data()});
  data->expert = on_device(std::span<const std::int32_t>(ids));
  data->first = on_device(std::span<const std::int32_t>(first));
  data->pair = on_device(std::span<const std::int32_t>(pair));
  data->weight = normal_f32(ids.size(), 2, 0.1F);
  data->row = DeviceMemory(4 * ids.size());
  const std::size_t cells = static_cast<std::size_t>(tokens) * kWidth;
  const int sets = sets_to_rotate(2.0 * static_cast<double>(cells));
  for (int i = 0; i < sets; ++i) {
    data->by_token.push_back(normal_bf16(cells, static_cast<unsigned>(i)));
    data->by_expert.push_back(normal_bf16(cells * kTopk, static_cast<unsigned>(i)));
  }
  data->grad_rows = DeviceMemory(2 * cells * kTopk);
  data->grad_weight = DeviceMemory(4 * ids.size());
  return data;
}

void enqueue_permute(const Data& d, int tokens, std::size_t i, Stream stream) {
  permute(Backend::kCuda,
          {.x = d.by_token[i].data(),
           .type = FloatType::kBf16,
           .tokens = tokens,
           .width = kWidth,
           .expert = d.expert.as<std::int32_t>(),
           .slots = kTopk,
           .experts = kExperts,
           .order = {d.first.as<std::int32_t>(), d.pair.as<std::int32_t>()},
           .rows = d.by_expert[i].data(),
           .row = d.row.as<std::int32_t>()},
          stream);
}

void enqueue_combine(const Data& d, int tokens, std::size_t i, Stream stream) {
  combine(Backend::kCuda,
          {.rows = d.by_expert[i].data(),
           .type = FloatType::kBf16,
           .tokens = tokens,
           .width = kWidth,
           .row = d.row.as<std::int32_t>(),
           .slots = kTopk,
           .weight = d.weight.as<float>(),
           .out = d.by_token[i].data()},
          stream);
}

void enqueue_combine_backward(const Data& d, int tokens, std::size_t i, Stream stream) {
  combine_backward(Backend::kCuda,
                   {.grad_out = d.by_token[i].data(),
                    .rows = d.by_expert[i].data(),
                    .type = FloatType::kBf16,
                    .tokens = tokens,
                    .width = kWidth,
                    .row = d.row.as<std::int32_t>(),
                    .slots = kTopk,
                    .weight = d.weight.as<float>(),
                    .filled = d.first.as<std::int32_t>() + kExperts,
                    .grad_rows = d.grad_rows.data(),
                    .grad_weight = d.grad_weight.as<float>()},
                   stream);
}

using Enqueue = void (*)(const Data&, int tokens, std::size_t i, Stream);

/// `passes` of rows by expert that a call reads or writes, beside one of rows by token.
Row row_of(const char* op, int tokens, Enqueue enqueue, int passes) {
  const auto prepare = [=] {
    const auto data = make_data(tokens);
    enqueue_permute(*data, tokens, 0, Stream{nullptr});  // the others read its `row`
    const double by_token = 2.0 * tokens * kWidth;
    return Work{.enqueue =
                    [=](int call, Stream stream) {
                      enqueue(*data, tokens, static_cast<std::size_t>(call) % data->by_token.size(),
                              stream);
                    },
                .bytes = by_token * (1 + passes * kTopk)};
  };
  return {.op = op,
          .shape = {{"tokens", tokens}, {"k", kTopk}, {"width", kWidth}, {"type", "bf16"}},
          .impl = "cuda",
          .prepare = prepare};
}

}  // namespace

std::vector<Row> permute_combine_rows() {
  std::vector<Row> rows;
  for (const int tokens : {16, 256, 4096}) {
    rows.push_back(row_of("permute", tokens, enqueue_permute, 1));
    rows.push_back(row_of("combine", tokens, enqueue_combine, 1));
    rows.push_back(row_of("combine_backward", tokens, enqueue_combine_backward, 2));
  }
  return rows;
}

}  // namespace thermoe::bench
