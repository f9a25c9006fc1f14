// SPDX-License-Identifier: Apache-2.0
// Routing by this library and by LibTorch's softmax and topk, side by side.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <string>

#include "bench_data.h"
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
  for (auto _ : state) {
    cpu::topk_route({.logits = logits.data(),
                     .tokens = tokens,
                     .experts = kExperts,
                     .k = kTopk,
                     .activation_price = prices,
                     .expert = expert.data(),
                     .weight = weight.data(),
                     .slots = kTopk,
                     .counts = counts.data()},
                    isa);
    benchmark::DoNotOptimize(expert.data());
    benchmark::ClobberMemory();
  }
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

template <class Body>
void add(const std::string& name, const Body& body) {
  auto* bench = benchmark::RegisterBenchmark(name.c_str(), body);
  bench->Unit(benchmark::kMicrosecond)->ArgName("tokens");
  for (const int tokens : kTokens) bench->Arg(tokens);
}

}  // namespace

void register_topk() {
  for (const NamedIsa& isa : isas()) {
    const std::string suffix = std::string("/") + isa.name;
    add("topk/thermoe" + suffix, [isa](benchmark::State& state) { ours(state, 0.0F, isa.isa); });
    // About half of the active experts go at this price.
    add("topk/thermoe_priced" + suffix,
        [isa](benchmark::State& state) { ours(state, 0.1F, isa.isa); });
  }
  add("topk/libtorch_softmax_topk", [](benchmark::State& state) { libtorch(state, false); });
  add("topk/libtorch_softmax_topk_renormalised",
      [](benchmark::State& state) { libtorch(state, true); });
}

}  // namespace thermoe::bench
