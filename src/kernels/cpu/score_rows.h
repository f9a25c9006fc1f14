// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <limits>

#include "kernels/cpu/token_chunk.h"

// Routers that select by more than the logits: with a bias of the model's own, or inside groups.
namespace thermoe::cpu {

template <int W>
THERMOE_INLINE float highest_logit(const float* row, int padded) {
  Floats<W> most = splat<W>(-std::numeric_limits<float>::infinity());
  for (int e = 0; e < padded; e += kLanes) {
    const Floats<W> x = load<W>(row + e);
    most = select(x > most, x, most);
  }
  const float highest = max(most);
  return highest >= std::numeric_limits<float>::lowest() ? highest : 0.0F;
}

/// A group's rank: the sum of its two largest scores, or of as many as it has that are no NaN.
THERMOE_INLINE float group_rank(const float* score, int size) {
  constexpr float kLowest = -std::numeric_limits<float>::infinity();
  float first = kLowest;
  float second = kLowest;
  for (int e = 0; e < size; ++e) {
    const float x = score[e];
    const float smaller = x > first ? first : x;
    first = x > first ? x : first;
    second = smaller > second ? smaller : second;
  }
  return second > kLowest ? first + second : first;
}

/// Leaves token i its `groups_kept` best groups by row_key: logits and keys of the others become
/// NaN, so that nothing is picked there. Its logits are in row_copy. Uses the row of masses.
THERMOE_INLINE void keep_own_groups(const RouterView& router, const TokenChunk& c, int i) {
  const int size = router.experts / router.groups;
  float* rank = c.mass(i);
  for (int g = 0; g < router.groups; ++g) rank[g] = group_rank(c.row_key(i) + g * size, size);
  for (int n = 0; n < router.groups_kept; ++n) {
    int best = -1;
    for (int g = 0; g < router.groups; ++g) {
      if (rank[g] == rank[g] && (best < 0 || rank[g] > rank[best])) best = g;
    }
    rank[best] = kNever;  // taken
  }
  for (int g = 0; g < router.groups; ++g) {
    if (rank[g] != rank[g]) continue;
    std::fill_n(c.row_key(i) + g * size, size, kNever);
    std::fill_n(c.row_copy(i) + g * size, size, kNever);
  }
}

/// Keys of the chunk's tokens where they are not the logits alone: p + beta in units of mass.
template <int W>
THERMOE_INLINE void score_rows(const TopkRouteArgs& a, const PaddedBiases& bias, TokenChunk& c) {
  const RouterView& router = a.router;
  const bool sums = router.score == ScoreFunction::kSoftmax &&
                    (bias.model || router.denominator == WeightDenominator::kNone);
  for (int i = 0; i < c.count; ++i) {
    c.highest[i] = highest_logit<W>(c.logits[i], c.padded);
    c.whole[i] = sums ? whole_mass<W>(a, c, i) : 1.0F;
    for (int e = 0; e < c.padded; e += kLanes) {
      Floats<W> score = mass_of(router.score, load<W>(c.logits[i] + e), c.highest[i]);
      if (bias.model) score = score + load<W>(bias.model + e) * c.whole[i];
      store(c.row_key(i) + e, score);
    }
    if (router.group_limited()) keep_own_groups(router, c, i);
    if (bias.model) c.key[i] = c.row_key(i);
  }
}

}  // namespace thermoe::cpu
