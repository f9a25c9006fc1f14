// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "kernels/aligned_vector.h"

namespace thermoe {

/// y = x Wᵀ for the few rows of a decode batch. The weights are re-laid once, 16 outputs side by
/// side, so that the product reads them in one pass as vectors. Each row's sum runs over the inputs
/// in order: a row's result does not depend on the rows beside it. For many rows use a matrix
/// library.
class PackedLinear {
 public:
  PackedLinear() = default;
  /// weight [outputs, inputs] row-major.
  PackedLinear(std::span<const float> weight, int outputs, int inputs);

  /// x [rows, inputs], y [rows, outputs], row-major, not overlapping. No allocation.
  void forward(const float* x, int rows, float* y) const;

  int outputs() const { return outputs_; }
  int inputs() const { return inputs_; }

 private:
  int outputs_ = 0;
  int inputs_ = 0;
  AlignedVector<float> packed_{};  // [outputs / 16 rounded up, inputs, 16], zeros beyond `outputs`
};

}  // namespace thermoe
