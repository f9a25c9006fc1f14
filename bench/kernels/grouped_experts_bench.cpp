// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <vector>

#include "bench_data.h"
#include "kernels/aligned_vector.h"
#include "kernels/expert_bank.h"
#include "kernels/grouped_experts.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

using bench::random_values;

constexpr int kExperts = 128;
constexpr int kTopk = 8;
constexpr int kModel = 192;
constexpr int kLayers = 4;  // rotated, so that weights come from memory as they do in a model

enum class Held { kF32, kBf16, kInt4 };

std::vector<ExpertBank> make_layers(int d_ff, Held held) {
  const auto cells = static_cast<std::size_t>(kExperts) * kModel * d_ff;
  std::vector<ExpertBank> layers;
  for (unsigned l = 0; l < kLayers; ++l) {
    auto gate = random_values(cells, 3 * l);
    auto up = random_values(cells, 3 * l + 1);
    auto down = random_values(cells, 3 * l + 2);
    for (auto* w : {&gate, &up, &down}) {
      for (float& x : *w) {
        const auto upper = std::bit_cast<std::uint32_t>(x) & 0xffff0000U;
        if (held == Held::kBf16) x = std::bit_cast<float>(upper);
      }
    }
    const ExpertTensors tensors{.gate = gate.data(), .up = up.data(), .down = down.data()};
    ExpertBank& bank =
        layers.emplace_back(ExpertLayerShape{.experts = kExperts, .d_model = kModel, .d_ff = d_ff});
    if (held == Held::kInt4) {
      bank.load_int4(tensors, {.group = 32});
    } else {
      bank.load_f32(tensors);
    }
  }
  return layers;
}

/// The model that the demonstration decodes: one layer call. Arguments: tokens, d_ff.
void layer_call(benchmark::State& state, Held held) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto layers = make_layers(static_cast<int>(state.range(1)), held);
  const auto logits = random_values(static_cast<std::size_t>(tokens) * kExperts, 7);
  const auto hidden = random_values(static_cast<std::size_t>(tokens) * kModel, 8);
  std::vector<std::int32_t> expert(static_cast<std::size_t>(tokens) * kTopk);
  std::vector<float> weight(expert.size());
  std::vector<std::int32_t> counts(kExperts);
  std::vector<std::int32_t> first(kExperts + 1);
  std::vector<std::int32_t> pair(expert.size());
  const ExpertOrder order{first.data(), pair.data()};
  const RouterSpec router{.experts = kExperts, .k = kTopk};
  AlignedVector<std::byte> routing(
      topk_route_workspace(Backend::kCpu, RouterView(router, nullptr), tokens, kTopk));
  topk_route(Backend::kCpu,
             {.logits = logits.data(),
              .tokens = tokens,
              .router = RouterView(router, nullptr),
              .expert = expert.data(),
              .weight = weight.data(),
              .slots = kTopk,
              .counts = counts.data(),
              .order = order,
              .workspace = routing.data(),
              .workspace_size = routing.size()},
             Stream{nullptr});
  std::vector<float> out(hidden.size());
  AlignedVector<std::byte> workspace(
      grouped_experts_workspace(Backend::kCpu, layers.front().shape(), tokens, kTopk));
  std::size_t l = 0;
  for (auto _ : state) {
    grouped_experts(Backend::kCpu,
                    {.bank = layers[l++ % kLayers].view(),
                     .hidden = hidden.data(),
                     .tokens = tokens,
                     .expert = expert.data(),
                     .weight = weight.data(),
                     .slots = kTopk,
                     .order = order,
                     .workspace = workspace.data(),
                     .workspace_size = workspace.size(),
                     .out = out.data()},
                    Stream{nullptr});
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  const auto active = kExperts - std::count(counts.begin(), counts.end(), 0);
  state.counters["active_experts"] = static_cast<double>(active);
  const double flops = 6.0 * tokens * kTopk * kModel * static_cast<double>(state.range(1));
  state.counters["flop/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

void GroupedExpertsF32(benchmark::State& state) { layer_call(state, Held::kF32); }
void GroupedExpertsBf16(benchmark::State& state) { layer_call(state, Held::kBf16); }
void GroupedExpertsInt4(benchmark::State& state) { layer_call(state, Held::kInt4); }

BENCHMARK(GroupedExpertsF32)
    ->Args({1, 32})
    ->Args({16, 32})
    ->Args({16, 40})
    ->Args({512, 32})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(GroupedExpertsBf16)
    ->Args({1, 32})
    ->Args({16, 32})
    ->Args({16, 40})
    ->Args({512, 32})
    ->Unit(benchmark::kMicrosecond);
BENCHMARK(GroupedExpertsInt4)
    ->Args({1, 32})
    ->Args({16, 32})
    ->Args({512, 32})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace thermoe
