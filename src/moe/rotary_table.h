// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace thermoe {

/// Rotary positions in the half-split convention: the pair (x_i, x_{i + hd/2}) turns by
/// position * base^(-2i/hd) (Su et al. 2021, eq. 34).
class RotaryTable {
 public:
  /// Requires an even head_dim.
  RotaryTable(int context, int head_dim, double base);

  /// Turns one head's vector x [head_dim] in place.
  void rotate(float* x, int position) const;

 private:
  int half_;
  std::vector<float> cosine_{};  // [context, head_dim / 2]
  std::vector<float> sine_{};
};

}  // namespace thermoe
