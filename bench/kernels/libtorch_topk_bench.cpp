// SPDX-License-Identifier: Apache-2.0
// Routing by this library and by LibTorch's softmax and topk, side by side.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <algorithm>
#include <string>

#include "bench_data.h"
#include "kernels/aligned_vector.h"
#include "kernels/cpu/backends.h"
#include "libtorch_benches.h"

namespace thermoe::bench {
namespace {

constexpr int kExperts = 128;
constexpr int kTopk = 8;
constexpr int kTokens[] = {1, 16, 256};

void ours(benchmark::State& state, float price, cpu::Isa isa) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto logits = random_values(static_cast<std::size_t>(tokens) * kExperts, 1, 2.0F);
  const std::vector<float> prices(kExperts, price);
  std::vector<std::int32_t> expert(static_cast<std::size_t>(tokens) * kTopk);
  std::vector<float> weight(expert.size());
  std::vector<std::int32_t> counts(kExperts);
  const RouterSpec router{.experts = kExperts, .k = kTopk};
  AlignedVector<std::byte> workspace(
      topk_route_workspace(Backend::kCpu, RouterView(router, nullptr), tokens, kTopk));
  for (auto _ : state) {
    cpu::topk_route({.logits = logits.data(),
                     .tokens = tokens,
                     .router = RouterView(router, nullptr),
                     .plan = {.activation_price = prices.data()},
                     .expert = expert.data(),
                     .weight = weight.data(),
                     .slots = kTopk,
                     .counts = counts.data(),
                     .workspace = workspace.data(),
                     .workspace_size = workspace.size()},
                    isa);
    benchmark::DoNotOptimize(expert.data());
    benchmark::ClobberMemory();
  }
  state.counters["active_experts"] =
      static_cast<double>(kExperts - std::count(counts.begin(), counts.end(), 0));
}

/// What a router in LibTorch does for the same result: softmax, topk, weights that sum to 1.
void libtorch(benchmark::State& state, bool renormalise) {
  const torch::InferenceMode inference;
  const auto tokens = static_cast<int>(state.range(0));
  auto values = random_values(static_cast<std::size_t>(tokens) * kExperts, 1, 2.0F);
  const torch::Tensor logits = torch::from_blob(values.data(), {tokens, kExperts});
  for (auto _ : state) {
    auto [weight, expert] = logits.softmax(-1).topk(kTopk, -1);
    if (renormalise) weight.div_(weight.sum(-1, /*keepdim=*/true));
    benchmark::DoNotOptimize(weight.const_data_ptr());
    benchmark::DoNotOptimize(expert.const_data_ptr());
  }
}

}  // namespace

void register_topk() {
  for (const NamedIsa& isa : isas()) {
    const std::string suffix = std::string("/") + isa.name;
    add_by_tokens("topk/thermoe" + suffix, kTokens,
                  [isa](benchmark::State& state) { ours(state, 0.0F, isa.isa); });
    add_by_tokens("topk/thermoe_priced" + suffix, kTokens,
                  [isa](benchmark::State& state) { ours(state, 0.1F, isa.isa); });
  }
  add_by_tokens("topk/libtorch_softmax_topk", kTokens,
                [](benchmark::State& state) { libtorch(state, false); });
  add_by_tokens("topk/libtorch_softmax_topk_renormalised", kTokens,
                [](benchmark::State& state) { libtorch(state, true); });
}

}  // namespace thermoe::bench
