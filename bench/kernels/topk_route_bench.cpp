// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <algorithm>
#include <vector>

#include "bench_data.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

/// Arguments: tokens, experts, k; priced by a flag.
void route(benchmark::State& state, bool priced) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto experts = static_cast<int>(state.range(1));
  const auto k = static_cast<int>(state.range(2));
  const auto logits = bench::random_values(static_cast<std::size_t>(tokens) * experts, 1, 2.0F);
  const std::vector<float> price(static_cast<std::size_t>(experts), priced ? 0.1F : 0.0F);
  std::vector<std::int32_t> expert(static_cast<std::size_t>(tokens) * k);
  std::vector<float> weight(expert.size());
  std::vector<std::int32_t> counts(static_cast<std::size_t>(experts));
  std::vector<float> kept(static_cast<std::size_t>(tokens));
  TopkRouteWorkspace workspace;
  const RouterSpec router{.experts = experts, .k = k};
  for (auto _ : state) {
    topk_route({.logits = logits.data(),
                .tokens = tokens,
                .router = &router,
                .plan = {.activation_price = price},
                .expert = expert.data(),
                .weight = weight.data(),
                .slots = k,
                .counts = counts.data(),
                .kept_mass = kept.data(),
                .workspace = &workspace});
    benchmark::DoNotOptimize(expert.data());
    benchmark::ClobberMemory();
  }
  const auto active = counts.size() - std::count(counts.begin(), counts.end(), 0);
  state.counters["active_experts"] = static_cast<double>(active);
}

void TopkRoutePlain(benchmark::State& state) { route(state, false); }
void TopkRoutePriced(benchmark::State& state) { route(state, true); }

BENCHMARK(TopkRoutePlain)->Args({1, 128, 8})->Args({16, 128, 8})->Args({512, 128, 8});
BENCHMARK(TopkRoutePriced)->Args({1, 128, 8})->Args({16, 128, 8})->Args({512, 128, 8});

}  // namespace
}  // namespace thermoe
