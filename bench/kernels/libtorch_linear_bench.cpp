// SPDX-License-Identifier: Apache-2.0
// An int4 linear layer of a large model, by this library and by LibTorch, side by side.
#include <benchmark/benchmark.h>
#include <torch/torch.h>

#include <memory>
#include <string>

#include "bench_data.h"
#include "kernels/cpu/backends.h"
#include "libtorch_benches.h"
#include "read_floor.h"

namespace thermoe::bench {
namespace {

constexpr int kOutputs = 14336;
constexpr int kInputs = 4096;
constexpr int kGroup = 128;
constexpr int kTokens[] = {1, 2, 4, 8, 16, 64, 256};

/// The same weights in every form. LibTorch's lie as torch::nn::Linear keeps them, [N, K].
struct Weights {
  Weights() {
    const auto cells = static_cast<std::size_t>(kOutputs) * kInputs;
    const std::vector<float> dense = random_values(cells, 1, 0.02F);
    symmetric = quantise_int4(dense.data(), kOutputs, kInputs, {.group = kGroup});
    zero_points =
        quantise_int4(dense.data(), kOutputs, kInputs, {.group = kGroup, .with_zero_point = true});
    f32 = torch::empty({kOutputs, kInputs});
    dequantise_int4(symmetric, f32.mutable_data_ptr<float>());
    bf16 = f32.to(torch::kBFloat16);
    scales = torch::empty({kOutputs, kInputs / kGroup, 1});
    auto cell = scales.accessor<float, 3>();
    for (int n = 0; n < kOutputs; ++n) {
      for (int g = 0; g < kInputs / kGroup; ++g) cell[n][g][0] = symmetric.scale(n, g);
    }
    const torch::Tensor q =
        (f32.view({kOutputs, -1, kGroup}) / scales).round().to(torch::kInt).view_as(f32) + 8;
    using torch::indexing::None;
    using torch::indexing::Slice;
    pairs = (q.index({Slice(), Slice(0, None, 2)}) + q.index({Slice(), Slice(1, None, 2)}) * 16)
                .to(torch::kUInt8)
                .contiguous();
    fused = at::_convert_weight_to_int4pack_for_cpu(q.contiguous(), 1);
    // [groups, N, 2]: scale, and the value of q = 8, which is 0.
    fused_scales = torch::stack({scales.squeeze(-1), torch::zeros_like(scales.squeeze(-1))}, -1)
                       .transpose(0, 1)
                       .contiguous();
  }

  Int4Weights symmetric;
  Int4Weights zero_points;
  torch::Tensor f32;           // [N, K] dequantised
  torch::Tensor bf16;          // [N, K] dequantised
  torch::Tensor pairs;         // [N, K / 2] u8: two weights a byte, the lower nibble first
  torch::Tensor scales;        // [N, K / group, 1] f32
  torch::Tensor fused;         // as LibTorch's own int4 kernel wants them
  torch::Tensor fused_scales;  // [K / group, N, 2] f32
};

void report(benchmark::State& state, int tokens) {
  const double flops = 2.0 * tokens * kOutputs * kInputs;
  state.counters["flop/s"] =
      benchmark::Counter(flops, benchmark::Counter::kIsIterationInvariantRate);
}

void ours(benchmark::State& state, const Int4Weights& weights, cpu::Isa isa) {
  const auto tokens = static_cast<int>(state.range(0));
  const auto x = random_values(static_cast<std::size_t>(tokens) * kInputs, 2);
  std::vector<float> out(static_cast<std::size_t>(tokens) * kOutputs);
  for (auto _ : state) {
    cpu::fused_dequant_linear(
        {.x = x.data(), .tokens = tokens, .weights = weights.view(), .out = out.data()}, isa);
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  report(state, tokens);
}

/// `step` turns x [tokens, K] f32 into the layer's output.
template <class Step>
void libtorch(benchmark::State& state, torch::Dtype dtype, const Step& step) {
  const torch::InferenceMode inference;
  const auto tokens = static_cast<int>(state.range(0));
  const auto values = random_values(static_cast<std::size_t>(tokens) * kInputs, 2);
  const torch::Tensor x =
      torch::from_blob(const_cast<float*>(values.data()), {tokens, kInputs}).to(dtype);
  for (auto _ : state) {
    const torch::Tensor y = step(x);
    benchmark::DoNotOptimize(y.const_data_ptr());
  }
  report(state, tokens);
}

/// Two weights a byte to f32 [N, K], in LibTorch's vectorised operations.
torch::Tensor dequantise(const Weights& w) {
  const torch::Tensor q =
      torch::stack({w.pairs.bitwise_and(15), w.pairs.bitwise_right_shift(4)}, -1);
  const torch::Tensor steps = q.view({kOutputs, -1, kGroup}).to(torch::kFloat).sub_(8);
  return steps.mul_(w.scales).view({kOutputs, kInputs});
}

void read_floor(benchmark::State& state, const Int4Weights& weights, cpu::Isa isa) {
  const std::size_t count = static_cast<std::size_t>(kOutputs) * kInputs / Int4Weights::kPerWord;
  for (auto _ : state) benchmark::DoNotOptimize(sum_words(weights.words(), count, isa));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * count * 4));
}

}  // namespace

void register_linear() {
  const auto w = std::make_shared<const Weights>();
  for (const NamedIsa& isa : isas()) {
    const std::string suffix = std::string("/") + isa.name;
    benchmark::RegisterBenchmark(
        ("linear/read_packed_words" + suffix).c_str(),
        [w, isa](benchmark::State& state) { read_floor(state, w->symmetric, isa.isa); })
        ->Unit(benchmark::kMicrosecond);
    add_by_tokens("linear/thermoe_int4" + suffix, kTokens,
                  [w, isa](benchmark::State& state) { ours(state, w->symmetric, isa.isa); });
    add_by_tokens("linear/thermoe_int4_zero_points" + suffix, kTokens,
                  [w, isa](benchmark::State& state) { ours(state, w->zero_points, isa.isa); });
  }
  add_by_tokens("linear/libtorch_f32", kTokens, [w](benchmark::State& state) {
    libtorch(state, torch::kFloat, [&](const auto& x) { return at::linear(x, w->f32); });
  });
  add_by_tokens("linear/libtorch_bf16", kTokens, [w](benchmark::State& state) {
    libtorch(state, torch::kBFloat16, [&](const auto& x) { return at::linear(x, w->bf16); });
  });
  add_by_tokens("linear/libtorch_dequantise_f32", kTokens, [w](benchmark::State& state) {
    libtorch(state, torch::kFloat, [&](const auto& x) { return at::linear(x, dequantise(*w)); });
  });
  const auto fused = [w](const torch::Tensor& x) {
    return at::_weight_int4pack_mm_for_cpu(x, w->fused, kGroup, w->fused_scales.to(x.dtype()));
  };
  add_by_tokens("linear/libtorch_int4pack", kTokens,
                [fused](benchmark::State& state) { libtorch(state, torch::kFloat, fused); });
}

}  // namespace thermoe::bench
