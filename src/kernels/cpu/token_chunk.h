// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "core/spread_extra.h"
#include "kernels/cpu/activations.h"
#include "kernels/cpu/top_select.h"
#include "kernels/cpu/widen_logits.h"
#include "kernels/cpu/workspace_rows.h"
#include "kernels/topk_route.h"

// What routing knows of a few tokens. `Mass` is p but for softmax's denominator: shares, and with
// them weights and losses, are the same.
namespace thermoe::cpu {

inline constexpr float kNever = std::numeric_limits<float>::quiet_NaN();

struct TokenChunk {
  static constexpr int kTokens = kSelectionsAtOnce;

  explicit TokenChunk(const WorkspaceRows& workspace)
      : padded(static_cast<int>(workspace.row)), rows(workspace) {}

  int first = 0;  ///< token of the call
  int count = 0;
  int padded;  ///< experts, rounded up to whole vectors
  /// [padded], NaN behind the last expert and outside the token's own groups.
  const float* logits[kTokens];
  const float* key[kTokens];  ///< [padded] selection scores: logits, or masses and biases
  std::int32_t* id[kTokens];  ///< [take] where its picks go
  int take[kTokens];          ///< how many
  int picked[kTokens];        ///< slots in use
  float highest[kTokens];     ///< the largest logit; 0 where no expert has mass
  float whole[kTokens];       ///< mass of p = 1; where `score_rows` ran
  float top_mass[kTokens];    ///< s: mass of the baseline's picks

  /// Of the picks, by slot, padded with 0.
  THERMOE_INLINE float* mass(int i) const { return row(rows.mass, i); }
  /// Logits, where the caller's cannot be used as they are.
  THERMOE_INLINE float* row_copy(int i) const { return row(rows.row_copy, i); }
  /// Keys, where they are not the logits.
  THERMOE_INLINE float* row_key(int i) const { return row(rows.row_key, i); }
  /// Keys of those that may be picked.
  THERMOE_INLINE float* masked(int i) const { return row(rows.masked, i); }
  /// The baseline's picks, where they are not the slots' own.
  THERMOE_INLINE std::int32_t* reference(int i) const {
    return rows.reference + static_cast<std::ptrdiff_t>(i) * padded;
  }

 private:
  THERMOE_INLINE float* row(float* first_row, int i) const {
    return first_row + static_cast<std::ptrdiff_t>(i) * padded;
  }

  WorkspaceRows rows;
};

/// Biases as vectors: [padded], 0 behind the last expert. Null: none, or all 0.
struct PaddedBiases {
  const float* model = nullptr;  ///< beta
  const float* plan = nullptr;   ///< b
};

/// What a layer's row asks of token t of the a.tokens that are no padding.
THERMOE_INLINE bool has_extra(const TopkRouteArgs& a, float share, int t) {
  return share > 0.0F &&
         thermoe::has_extra(share, a.plan.layer, a.step ? a.step->step : 0, t, a.tokens);
}
THERMOE_INLINE int token_k(const TopkRouteArgs& a, int t) {
  if (!a.plan.row) return a.router.k;
  const LayerPlan& row = *a.plan.row;
  return row.k + (row.k < a.router.experts && has_extra(a, row.extra_k_share, t) ? 1 : 0);
}
THERMOE_INLINE int token_k_min(const TopkRouteArgs& a, int t) {
  if (!a.plan.row) return 1;
  const LayerPlan& row = *a.plan.row;
  const int whole = std::clamp(row.k_min, 1, row.k);
  return has_extra(a, row.extra_k_min_share, t) ? std::min(whole + 1, token_k(a, t)) : whole;
}
/// Whether every token takes as many experts as the baseline: its picks are then the reference.
THERMOE_INLINE bool takes_reference_k(const TopkRouteArgs& a) {
  return !a.plan.row || (a.plan.row->k == a.router.k && !(a.plan.row->extra_k_share > 0.0F));
}
THERMOE_INLINE std::int32_t* picks(const TopkRouteArgs& a, int t) {
  return a.expert + static_cast<std::ptrdiff_t>(t) * a.slots;
}
THERMOE_INLINE bool has_scores(const TopkRouteArgs& a, const PaddedBiases& bias) {
  return bias.model || a.router.group_limited();
}

/// Mass of experts with these logits. In softmax the largest is exactly 1, even where it is
/// infinite: +inf shares all the mass.
template <int W>
THERMOE_INLINE Floats<W> mass_of(ScoreFunction score, const Floats<W>& x, float highest) {
  if (score == ScoreFunction::kSigmoid) return sigmoid(x);
  if (score == ScoreFunction::kSqrtSoftplus) return sqrt_softplus(x);
  return select(x == splat<W>(highest), 1.0F, exp(x - highest));
}

/// Picks by `key` among all (or by `masked`) for the chunk's tokens whose flag is set.
template <int W>
THERMOE_INLINE void select_picks(const TokenChunk& c,
                                 const float* const (&key)[TokenChunk::kTokens],
                                 const bool* wanted) {
  Selection selections[TokenChunk::kTokens];
  std::size_t n = 0;
  for (int i = 0; i < c.count; ++i) {
    if (wanted && !wanted[i]) continue;
    selections[n++] = {key[i], c.id[i], c.take[i]};
  }
  select_top<W>(std::span(selections, n), c.padded);
}

/// Masses of the tokens' picks, by slot.
template <int W>
THERMOE_INLINE void weigh_picks(const TopkRouteArgs& a, TokenChunk& c) {
  for (int i = 0; i < c.count; ++i) {
    const std::int32_t* id = c.id[i];
    const int k = c.take[i];
    int n = 0;
    for (; n < k && id[n] >= 0; ++n) c.mass(i)[n] = c.logits[i][id[n]];
    c.picked[i] = n;
    const int whole = (n + kLanes - 1) / kLanes * kLanes;
    std::fill(c.mass(i) + n, c.mass(i) + whole, -std::numeric_limits<float>::infinity());
  }
  for (int i = 0; i < c.count; ++i) {
    for (int n = 0; n < c.picked[i]; n += kLanes) {
      store(c.mass(i) + n, mass_of(a.router.score, load<W>(c.mass(i) + n), c.highest[i]));
    }
  }
}

/// The long steps as functions of their own, as each is called from several places or seldom
/// (defined in topk_route.cpp).
template <int W>
struct ChunkKernel;
#define THERMOE_CHUNK_KERNEL(width, target)                                                      \
  template <>                                                                                    \
  struct ChunkKernel<width> {                                                                    \
    [[gnu::noinline]] target static void weigh(const TopkRouteArgs& a, TokenChunk& c);           \
    [[gnu::noinline]] target static void score(const TopkRouteArgs& a, const PaddedBiases& bias, \
                                               TokenChunk& c);                                   \
    [[gnu::noinline]] target static void pick(const TopkRouteArgs& a, const PaddedBiases& bias,  \
                                              int first, int count, TokenChunk& c);              \
  };
THERMOE_CHUNK_KERNEL(kAvx512Width, THERMOE_TARGET_AVX512)
THERMOE_CHUNK_KERNEL(kAvx2Width, THERMOE_TARGET_AVX2)
THERMOE_CHUNK_KERNEL(kBaselineWidth, )
#undef THERMOE_CHUNK_KERNEL

/// Sum over the first picks in slot order.
THERMOE_INLINE float sum_of_masses(const TokenChunk& c, int i, int most) {
  float sum = 0.0F;
  for (int n = 0; n < most; ++n) sum += c.mass(i)[n];
  return sum;
}

/// Sum of the masses of all experts of token i.
template <int W>
THERMOE_INLINE float whole_mass(const TopkRouteArgs& a, const TokenChunk& c, int i) {
  Floats<W> total = splat<W>(0.0F);
  for (int e = 0; e < c.padded; e += kLanes) {
    const Floats<W> x = load<W>(c.logits[i] + e);
    total = total + select(x == x, mass_of(a.router.score, x, c.highest[i]), splat<W>(0.0F));
  }
  return sum(total);
}

/// Logits of `count` tokens from `first` on: where they lie, or copied to whole f32 vectors.
THERMOE_INLINE void read_rows(const TopkRouteArgs& a, int first, int count, TokenChunk& c) {
  const int experts = a.router.experts;
  const bool in_place =
      c.padded == experts && a.logits.type == FloatType::kF32 && !a.router.group_limited();
  c.first = first;
  c.count = count;
  for (int i = 0; i < count; ++i) {
    const std::ptrdiff_t at = static_cast<std::ptrdiff_t>(first + i) * experts;
    if (in_place) {
      c.logits[i] = static_cast<const float*>(a.logits.data) + at;
    } else {
      widen(a.logits, at, experts, c.row_copy(i));
      std::fill(c.row_copy(i) + experts, c.row_copy(i) + c.padded, kNever);
      c.logits[i] = c.row_copy(i);
    }
    c.key[i] = c.logits[i];
  }
}

/// Where the baseline's picks go: into the slots, or beside them where a plan changes k.
THERMOE_INLINE void aim_at_reference(const TopkRouteArgs& a, TokenChunk& c) {
  const bool own = takes_reference_k(a);
  for (int i = 0; i < c.count; ++i) {
    const int k = token_k(a, c.first + i);
    c.id[i] = own ? picks(a, c.first + i) : c.reference(i);
    c.take[i] = own ? k : std::max(k, a.router.k);
  }
}

/// Moves the picks of tokens whose k is not the router's into their slots.
THERMOE_INLINE void move_to_slots(const TopkRouteArgs& a, TokenChunk& c) {
  for (int i = 0; i < c.count; ++i) {
    std::int32_t* slots = picks(a, c.first + i);
    c.take[i] = token_k(a, c.first + i);
    c.picked[i] = std::min(c.picked[i], c.take[i]);
    std::copy_n(c.id[i], c.picked[i], slots);
    std::fill(slots + c.picked[i], slots + c.take[i], -1);
    c.id[i] = slots;
  }
}

/// Reads the logits of `count` tokens from `first` on and picks each one's k best by selection
/// score. Masses of the picks are left in the chunk.
template <int W>
THERMOE_INLINE void pick_unpriced(const TopkRouteArgs& a, const PaddedBiases& bias, int first,
                                  int count, TokenChunk& c) {
  read_rows(a, first, count, c);
  const bool scored = has_scores(a, bias);
  if (scored) ChunkKernel<W>::score(a, bias, c);
  aim_at_reference(a, c);
  select_picks<W>(c, c.key, nullptr);
  for (int i = 0; i < count && !scored; ++i) {
    const std::int32_t best = c.id[i][0];
    const float highest = best >= 0 ? c.logits[i][best] : 0.0F;
    c.highest[i] = highest >= std::numeric_limits<float>::lowest() ? highest : 0.0F;
  }
  ChunkKernel<W>::weigh(a, c);
  for (int i = 0; i < count; ++i) {
    c.top_mass[i] = sum_of_masses(c, i, std::min(c.picked[i], a.router.k));
  }
  if (!takes_reference_k(a)) move_to_slots(a, c);
  if (!bias.plan) return;
  for (int i = 0; i < count; ++i) {
    for (int e = 0; e < c.padded; e += kLanes) {
      const Floats<W> score = bias.model
                                  ? load<W>(c.row_key(i) + e)
                                  : mass_of(a.router.score, load<W>(c.logits[i] + e), c.highest[i]);
      store(c.row_key(i) + e, score - load<W>(bias.plan + e) * c.top_mass[i]);
    }
    c.key[i] = c.row_key(i);
  }
  select_picks<W>(c, c.key, nullptr);
  ChunkKernel<W>::weigh(a, c);
}

/// Writes weights and kept mass of the chunk's tokens for the picks that they have, and empties
/// their other slots. Uses up the masses.
template <int W>
THERMOE_INLINE void write_weights(const TopkRouteArgs& a, const PaddedBiases& bias, TokenChunk& c) {
  const WeightDenominator denominator = a.router.denominator;
  const auto scale = a.router.routed_scale;
  float mass[TokenChunk::kTokens];
  for (int i = 0; i < c.count; ++i) mass[i] = sum_of_masses(c, i, c.picked[i]);
  for (int i = 0; i < c.count; ++i) {
    float unit = mass[i];
    if (denominator == WeightDenominator::kReference) unit = c.top_mass[i];
    if (denominator == WeightDenominator::kNone) {
      unit = a.router.score != ScoreFunction::kSoftmax ? 1.0F
             : has_scores(a, bias)                     ? c.whole[i]
                                                       : whole_mass<W>(a, c, i);
      if (unit == 0.0F) unit = 1.0F;  // a row of -inf: every p is 0
    }
    if (unit > 0.0F) {
      const Floats<W> divisor = splat<W>(unit);
      for (int n = 0; n < c.picked[i]; n += kLanes) {
        store(c.mass(i) + n, load<W>(c.mass(i) + n) / divisor * scale);
      }
    } else {
      std::fill_n(c.mass(i), c.picked[i], scale / static_cast<float>(c.picked[i]));
    }
  }
  for (int i = 0; i < c.count; ++i) {
    const std::ptrdiff_t row = static_cast<std::ptrdiff_t>(c.first + i) * a.slots;
    const int size = c.picked[i];
    for (int n = 0; n < size; ++n) a.weight[row + n] = c.mass(i)[n];
    for (int n = size; n < a.slots; ++n) {
      a.weight[row + n] = 0.0F;
      a.expert[row + n] = -1;
    }
  }
  if (!a.kept_mass) return;
  for (int i = 0; i < c.count; ++i) {
    a.kept_mass[c.first + i] =
        c.top_mass[i] > 0.0F ? std::min(1.0F, mass[i] / c.top_mass[i]) : 1.0F;
  }
}

}  // namespace thermoe::cpu
