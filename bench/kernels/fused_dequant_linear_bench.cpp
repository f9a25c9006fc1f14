// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <random>
#include <vector>

#include "kernels/fused_dequant_linear.h"

namespace thermoe {
namespace {

std::vector<float> random_values(std::size_t n) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  std::vector<float> v(n);
  for (float& x : v) x = normal(random);
  return v;
}

/// Arguments: tokens, outputs, inputs, group, zero point.
void FusedDequantLinear(benchmark::State& state) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto outputs = static_cast<int>(state.range(1));
  const auto inputs = static_cast<int>(state.range(2));
  const Int4Format format{.group = static_cast<int>(state.range(3)),
                          .with_zero_point = state.range(4) != 0};
  const auto dense = random_values(static_cast<std::size_t>(outputs) * inputs);
  const Int4Weights weights = quantise_int4(dense.data(), outputs, inputs, format);
  const auto x = random_values(static_cast<std::size_t>(tokens) * inputs);
  std::vector<float> out(static_cast<std::size_t>(tokens) * outputs);
  for (auto _ : state) {
    fused_dequant_linear({.x = x.data(), .tokens = tokens, .weights = &weights, .out = out.data()});
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  const double flops = 2.0 * tokens * outputs * inputs;
  state.counters["flop/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * weights.byte_size()));
}

BENCHMARK(FusedDequantLinear)
    ->Args({1, 2048, 2048, 128, 0})
    ->Args({16, 2048, 2048, 128, 0})
    ->Args({16, 2048, 2048, 32, 1})
    ->Args({256, 2048, 2048, 128, 0})
    ->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace thermoe
