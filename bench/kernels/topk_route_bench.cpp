// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <vector>

#include "bench_data.h"
#include "kernels/aligned_vector.h"
#include "kernels/topk_route.h"

namespace thermoe {
namespace {

/// A router, what every token and expert of a plan asks of it, and how its logits come.
struct Case {
  RouterSpec router{};
  float price = 0.0F;  ///< in units of u
  int k_min = 1;
  bool bf16 = false;
};

void route(benchmark::State& state, const Case& c) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto experts = static_cast<std::size_t>(c.router.experts);
  const int k = c.router.k;
  const auto logits = bench::random_values(static_cast<std::size_t>(tokens) * experts, 1, 2.0F);
  std::vector<std::uint16_t> upper_halves(logits.size());
  std::ranges::transform(logits, upper_halves.begin(), [](float x) {
    return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16);
  });
  const std::vector<float> price(experts, c.price);
  std::vector<std::int32_t> expert(static_cast<std::size_t>(tokens) * k);
  std::vector<float> weight(expert.size());
  std::vector<std::int32_t> counts(experts);
  std::vector<float> kept(static_cast<std::size_t>(tokens));
  AlignedVector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, RouterView(c.router, 0), tokens, k));
  const LayerPlan row{.k = k, .k_min = c.k_min};
  for (auto _ : state) {
    topk_route(Backend::kCpu,
               {.logits = c.bf16 ? GateLogits::bf16(upper_halves.data()) : logits.data(),
                .tokens = tokens,
                .router = RouterView(c.router, 0),
                .plan = {.row = &row, .activation_price = price.data()},
                .expert = expert.data(),
                .weight = weight.data(),
                .slots = k,
                .counts = counts.data(),
                .kept_mass = kept.data(),
                .workspace = workspace.data(),
                .workspace_size = workspace.size()},
               Stream{nullptr});
    benchmark::DoNotOptimize(expert.data());
    benchmark::ClobberMemory();
  }
  const auto active = counts.size() - std::count(counts.begin(), counts.end(), 0);
  state.counters["active_experts"] = static_cast<double>(active);
}

/// With it the router like DeepSeek-V3's runs about half of its experts at 16 tokens.
constexpr float kHalf = 0.008F;

RouterSpec softmax_of(int experts) { return {.experts = experts, .k = 8}; }
RouterSpec sigmoid_and_beta() {
  return {.experts = 256,
          .k = 8,
          .score = ScoreFunction::kSigmoid,
          .routed_scale = 2.5,
          .selection_bias = bench::random_values(256, 2, 0.05F)};
}
RouterSpec deepseek_v3() {
  RouterSpec router = sigmoid_and_beta();
  router.groups = 8;
  router.groups_kept = 4;
  return router;
}
Case priced(float price, const RouterSpec& router) { return {.router = router, .price = price}; }
Case keeping(int k0, const RouterSpec& router) {
  return {.router = router, .price = std::numeric_limits<float>::infinity(), .k_min = k0};
}
Case in_bf16(Case c) {
  c.bf16 = true;
  return c;
}

/// Arguments: tokens, experts, k.
Case softmax_case(const benchmark::State& state, float price) {
  return {.router = {.experts = static_cast<int>(state.range(1)),
                     .k = static_cast<int>(state.range(2))},
          .price = price};
}
void TopkRoutePlain(benchmark::State& state) { route(state, softmax_case(state, 0.0F)); }
void TopkRoutePriced(benchmark::State& state) { route(state, softmax_case(state, 0.1F)); }

BENCHMARK(TopkRoutePlain)->Args({1, 128, 8})->Args({16, 128, 8})->Args({512, 128, 8});
BENCHMARK(TopkRoutePriced)->Args({1, 128, 8})->Args({16, 128, 8})->Args({512, 128, 8});

/// Arguments: tokens.
void TopkRoute(benchmark::State& state, const Case& c) { route(state, c); }

BENCHMARK_CAPTURE(TopkRoute, softmax_128_opportunistic, keeping(4, softmax_of(128)))->Arg(16);
BENCHMARK_CAPTURE(TopkRoute, softmax_128_bf16, in_bf16({softmax_of(128)}))->Arg(16);
BENCHMARK_CAPTURE(TopkRoute, softmax_128_bf16_priced, in_bf16(priced(0.1F, softmax_of(128))))
    ->Arg(16);
BENCHMARK_CAPTURE(TopkRoute, softmax_256, {softmax_of(256)})->Arg(16)->Arg(64);
BENCHMARK_CAPTURE(TopkRoute, softmax_256_priced, priced(0.1F, softmax_of(256)))->Arg(16)->Arg(64);
BENCHMARK_CAPTURE(TopkRoute, sigmoid_and_beta, {sigmoid_and_beta()})->Arg(16)->Arg(64);
BENCHMARK_CAPTURE(TopkRoute, sigmoid_and_beta_priced, priced(kHalf, sigmoid_and_beta()))
    ->Arg(16)
    ->Arg(64);
BENCHMARK_CAPTURE(TopkRoute, deepseek_v3, {deepseek_v3()})->Arg(16)->Arg(64);
BENCHMARK_CAPTURE(TopkRoute, deepseek_v3_priced, priced(kHalf, deepseek_v3()))->Arg(16)->Arg(64);
BENCHMARK_CAPTURE(TopkRoute, deepseek_v3_bf16, in_bf16({deepseek_v3()}))->Arg(16)->Arg(64);

}  // namespace
}  // namespace thermoe
