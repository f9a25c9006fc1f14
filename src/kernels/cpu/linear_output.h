// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/pack.h"
#include "kernels/fused_dequant_linear.h"

// The edges of an int4 linear layer, where the last panel may be wider than the matrix.
namespace thermoe::cpu {

/// Bias of panel p's outputs; zeros where there is none.
template <int W>
THERMOE_INLINE Floats<W> bias_panel(const float* bias, int p, int outputs) {
  if (!bias) return splat<W>(0.0F);
  const int first = p * kLanes;
  if (first + kLanes <= outputs) return load<W>(bias + first);
  float lanes[kLanes] = {};
  std::copy(bias + first, bias + outputs, lanes);
  return load<W>(lanes);
}

template <int W>
THERMOE_INLINE void store_panel(const FusedDequantLinearArgs& a, int token, int p,
                                const Floats<W>& value) {
  const int outputs = a.weights.outputs;
  float* to =
      static_cast<float*>(a.out) + static_cast<std::ptrdiff_t>(token) * outputs + p * kLanes;
  if ((p + 1) * kLanes <= outputs) {
    store(to, value);
  } else {
    store_first(to, value, outputs - p * kLanes);
  }
}

}  // namespace thermoe::cpu
