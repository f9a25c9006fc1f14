// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>
#include <span>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/top_select.h"
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
  int padded;                    ///< experts, rounded up to whole vectors
  const float* logits[kTokens];  ///< [padded], NaN behind the last expert
  const float* key[kTokens];     ///< [padded] selection scores: logits, or mass - b * s
  float highest[kTokens];        ///< the largest logit
  float top_mass[kTokens];       ///< s: mass of the token's k largest logits
  int picked[kTokens];           ///< slots in use

  /// Of the picks, by slot, padded with 0.
  THERMOE_INLINE float* mass(int i) const { return row(rows.mass, i); }
  /// Logits, where rows are no whole vectors.
  THERMOE_INLINE float* row_copy(int i) const { return row(rows.row_copy, i); }
  /// Keys, where they are not the logits.
  THERMOE_INLINE float* row_key(int i) const { return row(rows.row_key, i); }
  /// Keys of those that may be picked.
  THERMOE_INLINE float* masked(int i) const { return row(rows.masked, i); }

 private:
  THERMOE_INLINE float* row(float* first_row, int i) const {
    return first_row + static_cast<std::ptrdiff_t>(i) * padded;
  }

  WorkspaceRows rows;
};

/// Biases as vectors: [padded], 0 behind the last expert.
struct PaddedBias {
  const float* value = nullptr;
  bool any = false;  ///< whether one is not 0
};

THERMOE_INLINE int token_k(const TopkRouteArgs& a, int t) {
  return a.k_per_token.empty() ? a.k : a.k_per_token[static_cast<std::size_t>(t)];
}
THERMOE_INLINE std::int32_t* picks(const TopkRouteArgs& a, int t) {
  return a.expert + static_cast<std::ptrdiff_t>(t) * a.slots;
}

/// Mass of experts with these logits. The largest is exactly 1 in softmax, even where it is
/// infinite: +inf shares all the mass and a row of -inf is uniform.
template <int W>
THERMOE_INLINE Floats<W> mass_of(ScoreFunction score, const Floats<W>& x, float highest) {
  if (score == ScoreFunction::kSigmoid) return sigmoid(x);
  return select(x == splat<W>(highest), 1.0F, exp(x - highest));
}

/// Picks by `key` among all (or by `masked`) for the chunk's tokens whose flag is set.
template <int W>
THERMOE_INLINE void select_picks(const TopkRouteArgs& a, const TokenChunk& c,
                                 const float* const (&key)[TokenChunk::kTokens],
                                 const bool* wanted) {
  Selection selections[TokenChunk::kTokens];
  std::size_t n = 0;
  for (int i = 0; i < c.count; ++i) {
    if (wanted && !wanted[i]) continue;
    selections[n++] = {key[i], picks(a, c.first + i), token_k(a, c.first + i)};
  }
  select_top<W>(std::span(selections, n), c.padded);
}

/// Masses of the tokens' picks, by slot.
template <int W>
THERMOE_INLINE void weigh_picks(const TopkRouteArgs& a, TokenChunk& c) {
  for (int i = 0; i < c.count; ++i) {
    const std::int32_t* id = picks(a, c.first + i);
    const int k = token_k(a, c.first + i);
    int n = 0;
    for (; n < k && id[n] >= 0; ++n) c.mass(i)[n] = c.logits[i][id[n]];
    c.picked[i] = n;
    const int whole = (n + kLanes - 1) / kLanes * kLanes;
    std::fill(c.mass(i) + n, c.mass(i) + whole, -std::numeric_limits<float>::infinity());
  }
  for (int i = 0; i < c.count; ++i) {
    for (int n = 0; n < c.picked[i]; n += kLanes) {
      store(c.mass(i) + n, mass_of(a.score, load<W>(c.mass(i) + n), c.highest[i]));
    }
  }
}

/// The long steps as functions of their own, as each is called from several places (defined in
/// topk_route.cpp).
template <int W>
struct ChunkKernel;
#define THERMOE_CHUNK_KERNEL(width, target)                                                   \
  template <>                                                                                 \
  struct ChunkKernel<width> {                                                                 \
    target [[gnu::noinline]] static void weigh(const TopkRouteArgs& a, TokenChunk& c);        \
    target [[gnu::noinline]] static void pick(const TopkRouteArgs& a, const PaddedBias& bias, \
                                              int first, int count, TokenChunk& c);           \
  };
THERMOE_CHUNK_KERNEL(kAvx512Width, THERMOE_TARGET_AVX512)
THERMOE_CHUNK_KERNEL(kAvx2Width, THERMOE_TARGET_AVX2)
THERMOE_CHUNK_KERNEL(kBaselineWidth, )
#undef THERMOE_CHUNK_KERNEL

/// Sum over the picks in slot order.
THERMOE_INLINE float picked_mass(const TokenChunk& c, int i) {
  float sum = 0.0F;
  for (int n = 0; n < c.picked[i]; ++n) sum += c.mass(i)[n];
  return sum;
}

/// Reads the logits of `count` tokens from `first` on and picks each one's k best by selection
/// score. Masses of the picks are left in the chunk.
template <int W>
THERMOE_INLINE void pick_unpriced(const TopkRouteArgs& a, const PaddedBias& bias, int first,
                                  int count, TokenChunk& c) {
  c.first = first;
  c.count = count;
  for (int i = 0; i < count; ++i) {
    const float* row = a.logits + static_cast<std::ptrdiff_t>(first + i) * a.experts;
    if (c.padded != a.experts) {
      std::copy_n(row, a.experts, c.row_copy(i));
      std::fill(c.row_copy(i) + a.experts, c.row_copy(i) + c.padded, kNever);
      row = c.row_copy(i);
    }
    c.logits[i] = row;
    c.key[i] = row;
  }
  select_picks<W>(a, c, c.key, nullptr);
  for (int i = 0; i < count; ++i) {
    const std::int32_t best = *picks(a, first + i);
    c.highest[i] = best >= 0 ? c.logits[i][best] : 0.0F;
  }
  ChunkKernel<W>::weigh(a, c);
  for (int i = 0; i < count; ++i) c.top_mass[i] = picked_mass(c, i);
  if (!bias.any) return;
  for (int i = 0; i < count; ++i) {
    for (int e = 0; e < c.padded; e += kLanes) {
      const Floats<W> mass = mass_of(a.score, load<W>(c.logits[i] + e), c.highest[i]);
      store(c.row_key(i) + e, mass - load<W>(bias.value + e) * c.top_mass[i]);
    }
    c.key[i] = c.row_key(i);
  }
  select_picks<W>(a, c, c.key, nullptr);
  ChunkKernel<W>::weigh(a, c);
}

/// Sum of the masses of all experts of token i.
template <int W>
THERMOE_INLINE float whole_mass(const TopkRouteArgs& a, const TokenChunk& c, int i) {
  Floats<W> total = splat<W>(0.0F);
  for (int e = 0; e < c.padded; e += kLanes) {
    const Floats<W> x = load<W>(c.logits[i] + e);
    total = total + select(x == x, mass_of(a.score, x, c.highest[i]), splat<W>(0.0F));
  }
  return sum(total);
}

/// Writes weights and kept mass of the chunk's tokens for the picks that they have, and empties
/// their other slots. Uses up the masses.
template <int W>
THERMOE_INLINE void write_weights(const TopkRouteArgs& a, TokenChunk& c) {
  float mass[TokenChunk::kTokens];
  for (int i = 0; i < c.count; ++i) mass[i] = picked_mass(c, i);
  for (int i = 0; i < c.count; ++i) {
    float unit = mass[i];
    if (!a.renormalise) unit = a.score == ScoreFunction::kSoftmax ? whole_mass<W>(a, c, i) : 1.0F;
    if (unit > 0.0F) {
      const Floats<W> divisor = splat<W>(unit);
      for (int n = 0; n < c.picked[i]; n += kLanes) {
        store(c.mass(i) + n, load<W>(c.mass(i) + n) / divisor);
      }
    } else {
      std::fill_n(c.mass(i), c.picked[i], 1.0F / static_cast<float>(c.picked[i]));
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
