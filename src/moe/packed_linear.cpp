// SPDX-License-Identifier: Apache-2.0
#include "moe/packed_linear.h"

#include <cstddef>

#include "core/errors.h"
#include "kernels/cpu/pack.h"

namespace thermoe {
namespace {

using cpu::kLanes;

struct Product {
  const float* x;  // [rows, inputs]
  int rows;
  int inputs;
  const float* packed;  // [tiles, inputs, 16]
  int outputs;
  float* y;  // [rows, outputs]
};

/// kRows rows of x from `row` on against the tile of 16 outputs from `output` on; sums stay in
/// registers.
template <int W, int kRows>
THERMOE_INLINE void tile(const Product& p, int row, int output) {
  const float* x = p.x + static_cast<std::ptrdiff_t>(row) * p.inputs;
  const float* weights = p.packed + static_cast<std::ptrdiff_t>(output) * p.inputs;
  cpu::Floats<W> sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = cpu::splat<W>(0.0F);
  for (int i = 0; i < p.inputs; ++i) {
    const cpu::Floats<W> w = cpu::load<W>(weights + static_cast<std::ptrdiff_t>(i) * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sums[r] = sums[r] + x[static_cast<std::ptrdiff_t>(r) * p.inputs + i] * w;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* to = p.y + static_cast<std::ptrdiff_t>(row + r) * p.outputs + output;
    if (output + kLanes <= p.outputs) {
      cpu::store(to, sums[r]);
    } else {
      cpu::store_first(to, sums[r], p.outputs - output);
    }
  }
}

/// Six rows fill the registers of AVX2 and hide the latency of AVX-512; SSE has room for two.
template <int W>
constexpr int kTileRows = W >= cpu::kAvx2Width ? 6 : 2;

template <int W>
THERMOE_INLINE void multiply(const Product& p) {
  for (int o = 0; o < p.outputs; o += kLanes) {
    int r = 0;
    for (; r + kTileRows<W> <= p.rows; r += kTileRows<W>) tile<W, kTileRows<W>>(p, r, o);
    for (; r + 2 <= p.rows; r += 2) tile<W, 2>(p, r, o);
    for (; r < p.rows; ++r) tile<W, 1>(p, r, o);
  }
}

THERMOE_TARGET_AVX512 void multiply_avx512(const Product& p) { multiply<cpu::kAvx512Width>(p); }
THERMOE_TARGET_AVX2 void multiply_avx2(const Product& p) { multiply<cpu::kAvx2Width>(p); }
void multiply_baseline(const Product& p) { multiply<cpu::kBaselineWidth>(p); }

}  // namespace

PackedLinear::PackedLinear(std::span<const float> weight, int outputs, int inputs)
    : outputs_(outputs), inputs_(inputs) {
  const auto in = static_cast<std::size_t>(inputs);
  THERMOE_EXPECT(
      outputs >= 1 && inputs >= 1 && weight.size() == in * static_cast<std::size_t>(outputs),
      "{} weights are not [{}, {}]", weight.size(), outputs, inputs);
  const std::size_t tiles = (static_cast<std::size_t>(outputs) + kLanes - 1) / kLanes;
  packed_.assign(tiles * in * kLanes, 0.0F);
  for (std::size_t o = 0; o < static_cast<std::size_t>(outputs); ++o) {
    float* tile_start = packed_.data() + o / kLanes * in * kLanes + o % kLanes;
    for (std::size_t i = 0; i < in; ++i) tile_start[i * kLanes] = weight[o * in + i];
  }
}

void PackedLinear::forward(const float* x, int rows, float* y) const {
  const Product product{x, rows, inputs_, packed_.data(), outputs_, y};
  switch (cpu::best_isa()) {
    case cpu::Isa::kAvx512:
      return multiply_avx512(product);
    case cpu::Isa::kAvx2:
      return multiply_avx2(product);
    case cpu::Isa::kBaseline:
      return multiply_baseline(product);
  }
}

}  // namespace thermoe
