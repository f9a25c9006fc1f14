// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "control/ranking.h"
#include "core/logit_sample.h"
#include "core/router_spec.h"

namespace thermoe {

/// Utilities of one sampled step (docs/theory.md eq. (1)): u_te = p_te / S_t, with p the router's
/// scores of the gate logits and S_t their sum over the token's baseline picks: the k best by
/// p + beta inside the token's own groups. Control's own evaluation: it cannot see the kernels.
/// Most of them are never asked for: they are evaluated when they are. Not for two threads at once.
class Utilities {
 public:
  /// Requires a router that `find_problem` finds nothing wrong with, and logits of
  /// layers * tokens * experts numbers.
  Utilities(const LogitSample& sample, const RouterSpec& router);

  int layers() const { return layers_; }
  int tokens() const { return tokens_; }
  int experts() const { return router_.experts; }
  int k() const { return router_.k; }
  /// Experts that a token may pick: those of its own groups.
  int reach() const { return reach_; }
  /// False if a logit was NaN or +infinity: the utilities must then not be used. A logit of
  /// -infinity is p = 0.
  bool finite() const { return finite_; }
  /// Expert number `i` of those in the row's reach, by rising id.
  int in_reach(std::size_t row, int i) const;
  /// The values in reach of the row's [experts], likewise; `scratch` may hold them.
  std::span<const float> reached(std::size_t row, std::span<const float> values,
                                 std::vector<float>& scratch) const;
  /// The model picks by its logits alone: v is u.
  bool plain() const { return router_.selection_bias.empty() && !router_.group_limited(); }
  /// Losses are in v instead of u (RouterSpec::loss_scores).
  bool biased_losses() const {
    return router_.loss_scores == LossScores::kBiased && !router_.selection_bias.empty();
  }

  /// Best experts of each row (layer * tokens + token) by v: more than k, or all in reach.
  const Ranking& ranking() const { return ranking_; }
  /// What a token keeps whose chosen experts have so much u together. Beyond 1 is no gain: an
  /// expert of larger p than a pick's is one that beta kept from being picked.
  double kept(std::size_t row, double sum_of_u) const {
    if (weightless(row)) return 1.0;
    return router_.selection_bias.empty() || sum_of_u < 1.0 ? sum_of_u : 1.0;
  }

  /// u of one token, [experts]; 0 outside its groups.
  std::span<const float> row(int layer, int token) const {
    const auto e = static_cast<std::size_t>(experts());
    return all().subspan((static_cast<std::size_t>(layer) * tokens_ + token) * e, e);
  }
  /// The same by the row's number, into `u`.
  void evaluate(std::size_t row, std::span<float> u) const;
  /// [layers, tokens, experts]
  std::span<const float> all() const;

  /// v = (p + beta) / S of one row, by which the model itself picks; -infinity outside the token's
  /// groups.
  void evaluate_selection(std::size_t row, std::span<float> v) const;
  /// [layers, tokens, experts]; the utilities themselves where there is no beta and no group.
  std::span<const float> all_selection() const;

 private:
  /// S of the row is 0: nothing that it could lose has a weight, and all its u are 0.
  bool weightless(std::size_t row) const { return mass_[row] <= 0.0F; }
  std::span<const float> logits_of(std::size_t row) const;
  std::span<const float> beta_of(std::size_t row) const;
  float divisor(std::size_t row) const { return weightless(row) ? 1.0F : mass_[row]; }
  void score(std::size_t row, std::span<float> p) const;
  void rank_by_logit(std::size_t row, RowCut& cut);
  void rank_by_selection(std::size_t row, RowCut& cut);
  void choose_groups();
  template <class Selection, class Score>
  void rank(std::size_t row, std::span<const int> candidates, float cut, const Selection& selection,
            const Score& score);
  void hide_beyond_reach(std::size_t row, std::span<float> values, float value) const;

  int layers_, tokens_;
  RouterSpec router_;
  int reach_;
  bool finite_ = true;
  std::vector<float> logits_{};
  std::vector<float> most_{}, norm_{}, mass_{};  ///< [rows] largest logit, softmax's sum, S
  std::vector<std::uint16_t> groups_{};          ///< [rows, groups_kept] ids, rising; if limited
  Ranking ranking_{};
  std::vector<std::uint64_t> keys_{};
  std::vector<float> p_{}, selection_{}, reached_{};  ///< of the row under way
  mutable std::vector<float> u_{}, v_{};              ///< once somebody wants all
};

}  // namespace thermoe
