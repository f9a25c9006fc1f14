// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "control/ranking.h"
#include "core/logit_sample.h"

namespace thermoe {

/// Utilities of one sampled step (docs/theory.md eq. (1)): u_te = p_te / (sum of the token's k
/// largest p), p = softmax of the gate logits. Control's own evaluation: it cannot see the kernels.
/// Most of them are never asked for: they are evaluated when they are. Not for two threads at once.
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

  /// Best experts of each row (layer * tokens + token) by u: more than k, or all.
  const Ranking& ranking() const { return ranking_; }
  /// u of one token, [experts].
  std::span<const float> row(int layer, int token) const {
    const auto e = static_cast<std::size_t>(experts_);
    return all().subspan((static_cast<std::size_t>(layer) * tokens_ + token) * e, e);
  }
  /// The same by the row's number, into `u`.
  void evaluate(std::size_t row, std::span<float> u) const;
  /// [layers, tokens, experts]
  std::span<const float> all() const;

 private:
  void rank(std::size_t row, RowCut& cut);

  int layers_, tokens_, experts_, k_;
  bool finite_ = true;
  std::vector<float> logits_{};
  std::vector<float> most_{}, mass_{};  ///< [rows] largest logit, sum of the k largest exp
  Ranking ranking_{};
  std::vector<std::uint64_t> keys_{};
  mutable std::vector<float> u_{};  ///< once somebody wants all
};

}  // namespace thermoe
