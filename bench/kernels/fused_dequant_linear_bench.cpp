// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>

#include <vector>

#include "bench_data.h"
#include "kernels/fused_dequant_linear.h"

namespace thermoe {
namespace {

/// Arguments: tokens, outputs, inputs, group, zero point.
void FusedDequantLinear(benchmark::State& state) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto outputs = static_cast<int>(state.range(1));
  const auto inputs = static_cast<int>(state.range(2));
  const Int4Format format{.group = static_cast<int>(state.range(3)),
                          .with_zero_point = state.range(4) != 0};
  const auto dense = bench::random_values(static_cast<std::size_t>(outputs) * inputs, 1);
  const Int4Weights weights = quantise_int4(dense.data(), outputs, inputs, format);
  const auto x = bench::random_values(static_cast<std::size_t>(tokens) * inputs, 1);
  std::vector<float> out(static_cast<std::size_t>(tokens) * outputs);
  for (auto _ : state) {
    fused_dequant_linear(
        Backend::kCpu,
        {.x = x.data(), .tokens = tokens, .weights = weights.view(), .out = out.data()},
        Stream{nullptr});
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
