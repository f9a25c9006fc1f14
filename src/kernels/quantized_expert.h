// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/int4_weights.h"

namespace thermoe {

/// f32 matrices of one expert, row-major. Views.
struct ExpertMatrices {
  const float* gate = nullptr;  ///< [d_ff, d_model]; null for the plain kinds
  const float* up = nullptr;    ///< [d_ff, d_model]; fc1 of a plain expert
  const float* down = nullptr;  ///< [d_model, d_ff]; fc2 of a plain expert
};

/// One expert with its weights rounded to int4 groups; biases, where there are any, stay f32. Runs
/// in grouped_experts, where int4 is decoded in registers.
struct QuantizedExpert {
  Int4Weights gate{};  ///< empty for the plain kinds
  Int4Weights up{};
  Int4Weights down{};

  /// Bytes of the packed weights, scales and zero points.
  std::size_t byte_size() const;
  /// Whether any of its matrices has zero points.
  bool has_zero_points() const {
    return gate.zero_points() || up.zero_points() || down.zero_points();
  }
};

/// Requires format.group (32, 64 or 128) to divide d_model and d_ff, and finite weights.
QuantizedExpert quantise_expert(const ExpertMatrices& expert, int d_model, int d_ff,
                                Int4Format format);

}  // namespace thermoe
