// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/cpu/top_select.h"
#include "kernels/topk_route.h"

namespace thermoe::cpu {

/// The rows of a workspace, each as long as the experts of the call rounded up to whole
/// vectors: memory grows with the layer, and small layers stay in the first-level cache.
struct WorkspaceRows {
  static constexpr std::size_t kTokenRows = kSelectionsAtOnce;
  /// Four rows a token, a loss, two biases and two masks.
  static constexpr std::size_t kValueRows = 4 * kTokenRows + 5;
  static constexpr std::size_t kFlagRows = 2;

  static std::size_t row_of(int experts) {
    return (static_cast<std::size_t>(experts) + 15) / 16 * 16;
  }

  /// Bytes of a workspace for so many experts.
  static std::size_t byte_size(int experts) {
    return row_of(experts) * ((kValueRows + kTokenRows) * sizeof(float) + kFlagRows);
  }

  explicit WorkspaceRows(const TopkRouteArgs& args)
      : row(row_of(args.router.experts)),
        mass(reinterpret_cast<float*>(args.workspace)),
        row_copy(mass + kTokenRows * row),
        row_key(row_copy + kTokenRows * row),
        masked(row_key + kTokenRows * row),
        loss(masked + kTokenRows * row),
        bias(loss + row),
        union_mask(bias + row),
        active_mask(union_mask + row),
        model_bias(active_mask + row),
        reference(reinterpret_cast<std::int32_t*>(model_bias + row)),
        in_union(reinterpret_cast<std::uint8_t*>(reference + kTokenRows * row)),
        active(in_union + row) {}

  std::size_t row;
  float* mass;
  float* row_copy;
  float* row_key;
  float* masked;
  float* loss;
  float* bias;
  float* union_mask;
  float* active_mask;
  float* model_bias;
  std::int32_t* reference;
  std::uint8_t* in_union;
  std::uint8_t* active;
};

}  // namespace thermoe::cpu
