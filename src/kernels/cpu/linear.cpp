// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear.h"

#include <cstddef>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/pack.h"

namespace thermoe::cpu {
namespace {

struct Product {
  const float* x;  // [rows, inputs]
  int rows;
  int inputs;
  const float* panels;  // [outputs / 16, inputs, 16]
  int outputs;
  float* y;  // [rows, outputs]
};

/// kRows rows of x from `row` on against the panel of 16 outputs from `output` on; sums stay in
/// registers.
template <int W, int kRows>
THERMOE_INLINE void tile(const Product& p, int row, int output) {
  const float* x = p.x + static_cast<std::ptrdiff_t>(row) * p.inputs;
  const float* weights = p.panels + static_cast<std::ptrdiff_t>(output) * p.inputs;
  Floats<W> sums[kRows];
  for (int r = 0; r < kRows; ++r) sums[r] = splat<W>(0.0F);
  for (int i = 0; i < p.inputs; ++i) {
    const Floats<W> w = load<W>(weights + static_cast<std::ptrdiff_t>(i) * kLanes);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) {
      sums[r] = sums[r] + x[static_cast<std::ptrdiff_t>(r) * p.inputs + i] * w;
    }
  }
  for (int r = 0; r < kRows; ++r) {
    float* to = p.y + static_cast<std::ptrdiff_t>(row + r) * p.outputs + output;
    if (output + kLanes <= p.outputs) {
      store(to, sums[r]);
    } else {
      store_first(to, sums[r], p.outputs - output);
    }
  }
}

/// Six rows fill the registers of AVX2 and hide the latency of AVX-512; SSE has room for two.
template <int W>
constexpr int kTileRows = W >= kAvx2Width ? 6 : 2;

template <int W>
THERMOE_INLINE void multiply(const Product& p) {
  for (int o = 0; o < p.outputs; o += kLanes) {
    int r = 0;
    for (; r + kTileRows<W> <= p.rows; r += kTileRows<W>) tile<W, kTileRows<W>>(p, r, o);
    for (; r + 2 <= p.rows; r += 2) tile<W, 2>(p, r, o);
    for (; r < p.rows; ++r) tile<W, 1>(p, r, o);
  }
}

THERMOE_TARGET_AVX512 void multiply_avx512(const Product& p) { multiply<kAvx512Width>(p); }
THERMOE_TARGET_AVX2 void multiply_avx2(const Product& p) { multiply<kAvx2Width>(p); }
void multiply_baseline(const Product& p) { multiply<kBaselineWidth>(p); }

}  // namespace

void linear(const LinearArgs& args, Isa isa) {
  const LinearWeights& w = *args.weights;
  const Product product{args.x, args.rows, w.inputs(), w.panels(), w.outputs(), args.out};
  switch (isa) {
    case Isa::kAvx512:
      return multiply_avx512(product);
    case Isa::kAvx2:
      return multiply_avx2(product);
    case Isa::kBaseline:
      return multiply_baseline(product);
  }
}

}  // namespace thermoe::cpu
