// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "kernels/aligned_vector.h"

namespace thermoe {

/// A weight matrix W [outputs, inputs] f32 (the layout of torch's Linear), re-laid once for
/// `linear`: 16 outputs side by side, so that the product reads it in one pass as vectors.
class LinearWeights {
 public:
  LinearWeights() = default;
  /// weight [outputs, inputs] row-major. Requires positive sizes.
  LinearWeights(std::span<const float> weight, int outputs, int inputs);

  int outputs() const { return outputs_; }
  int inputs() const { return inputs_; }
  /// For backends: [outputs / 16 rounded up, inputs, 16], zeros beyond `outputs`.
  const float* panels() const { return panels_.data(); }

 private:
  int outputs_ = 0;
  int inputs_ = 0;
  AlignedVector<float> panels_{};
};

struct LinearArgs {
  const float* x = nullptr;  ///< [rows, inputs] f32 row-major
  int rows = 0;              ///< >= 0
  const LinearWeights* weights = nullptr;
  float* out = nullptr;  ///< [rows, outputs] f32 row-major, may not overlap x
};

/// out = x Wᵀ for the few rows of a decode batch; for many rows use a matrix library. Each row's
/// sum runs over the inputs in order: a row's result does not depend on the rows beside it.
/// Single-threaded, deterministic on one machine; allocates nothing. Throws PreconditionError where
/// a pointer is missing.
void linear(const LinearArgs& args);

}  // namespace thermoe
