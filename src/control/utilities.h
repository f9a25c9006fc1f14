// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "core/logit_sample.h"

namespace thermoe {

/// Utilities of one sampled step (docs/theory.md eq. (1)): u_te = p_te / (sum of the token's k
/// largest p), p = softmax of the gate logits. Control's own evaluation: it cannot see the kernels.
class Utilities {
 public:
  /// k: experts a token takes in the baseline. Requires 1 <= k <= experts and logits of
  /// layers * tokens * experts numbers.
  Utilities(const LogitSample& sample, int k);

  int layers() const { return layers_; }
  int tokens() const { return tokens_; }
  int experts() const { return experts_; }
  int k() const { return k_; }
  /// False if a logit was NaN or infinite: the utilities must then not be used.
  bool finite() const { return finite_; }

  /// u of one token, [experts].
  std::span<const float> row(int layer, int token) const {
    const auto e = static_cast<std::size_t>(experts_);
    return std::span(u_).subspan((static_cast<std::size_t>(layer) * tokens_ + token) * e, e);
  }
  /// [layers, tokens, experts]
  std::span<const float> all() const { return u_; }

 private:
  int layers_, tokens_, experts_, k_;
  bool finite_ = true;
  std::vector<float> u_{};
};

}  // namespace thermoe
