// SPDX-License-Identifier: Apache-2.0
#include "kernels/decode_attention.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/backends.h"

namespace thermoe::cpu {
namespace {

static_assert(KvLayout::kBlock == kLanes);

/// One query over one head's past.
struct HeadAttention {
  const float* query;   // [head_dim]
  const float* keys;    // [blocks, head_dim, 16]
  const float* values;  // [positions, stride]
  int positions;
  int head_dim;
  int stride;     // of values: whole pairs of 16
  float* scores;  // scratch, whole blocks of 16
  float* sums;    // out [stride]
};

/// scores[p] = q · key_p / sqrt(head_dim), whole blocks of 16 positions.
template <int W>
THERMOE_INLINE void score_keys(const HeadAttention& a) {
  const float scale = 1.0F / std::sqrt(static_cast<float>(a.head_dim));
  const float* key = a.keys;
  for (int p = 0; p < a.positions; p += kLanes) {
    Floats<W> sum = splat<W>(0.0F);
    for (int i = 0; i < a.head_dim; ++i, key += kLanes) sum = sum + a.query[i] * load<W>(key);
    store(a.scores + p, scale * sum);
  }
}

/// Scores to weights that sum to 1, whole blocks of 16: what lies beyond the positions becomes 0.
template <int W>
THERMOE_INLINE void softmax_scores(const HeadAttention& a) {
  const int padded = (a.positions + kLanes - 1) / kLanes * kLanes;
  for (int p = a.positions; p < padded; ++p) a.scores[p] = -std::numeric_limits<float>::infinity();
  Floats<W> highest = load<W>(a.scores);
  for (int p = kLanes; p < padded; p += kLanes) {
    const Floats<W> s = load<W>(a.scores + p);
    highest = select(s > highest, s, highest);
  }
  const float most = max(highest);
  Floats<W> sums = splat<W>(0.0F);
  for (int p = 0; p < padded; p += kLanes) {
    const Floats<W> weight = exp(load<W>(a.scores + p) - most);
    store(a.scores + p, weight);
    sums = sums + weight;
  }
  const float scale = 1.0F / sum(sums);
  for (int p = 0; p < padded; p += kLanes) {
    store(a.scores + p, scale * load<W>(a.scores + p));
  }
}

/// sum over positions of weight_p * value_p, 32 of head_dim at a time.
template <int W>
THERMOE_INLINE void weigh_values(const HeadAttention& a) {
  for (int j = 0; j < a.stride; j += 2 * kLanes) {
    Floats<W> low = splat<W>(0.0F);
    Floats<W> high = splat<W>(0.0F);
    const float* value = a.values + j;
    for (int p = 0; p < a.positions; ++p, value += a.stride) {
      low = low + a.scores[p] * load<W>(value);
      high = high + a.scores[p] * load<W>(value + kLanes);
    }
    store(a.sums + j, low);
    store(a.sums + j + kLanes, high);
  }
}

template <int W>
THERMOE_INLINE void attend_head(const HeadAttention& a) {
  score_keys<W>(a);
  softmax_scores<W>(a);
  weigh_values<W>(a);
}

THERMOE_TARGET_AVX512 void attend_avx512(const HeadAttention& a) { attend_head<kAvx512Width>(a); }
THERMOE_TARGET_AVX2 void attend_avx2(const HeadAttention& a) { attend_head<kAvx2Width>(a); }
void attend_baseline(const HeadAttention& a) { attend_head<kBaselineWidth>(a); }

void attend(const HeadAttention& a, Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return attend_avx512(a);
    case Isa::kAvx2:
      return attend_avx2(a);
    case Isa::kBaseline:
      return attend_baseline(a);
  }
}

}  // namespace

void decode_attention(const DecodeAttentionArgs& args, Isa isa) {
  const KvLayout& l = args.layout;
  float sums[kMaxHeadDim + 2 * kLanes];
  for (int b = 0; b < l.streams; ++b) {
    const float* query = args.query + static_cast<std::ptrdiff_t>(b) * args.query_stride;
    for (int h = 0; h < l.heads; ++h) {
      const std::size_t head = static_cast<std::size_t>(b) * l.heads + h;
      attend({.query = query + static_cast<std::ptrdiff_t>(h) * l.head_dim,
              .keys = args.keys + head * l.head_keys(),
              .values = args.values + head * l.head_values(),
              .positions = args.positions[static_cast<std::size_t>(b)] + 1,
              .head_dim = l.head_dim,
              .stride = l.value_stride(),
              .scores = args.scratch.data(),
              .sums = sums},
             isa);
      std::memcpy(args.out + head * l.head_dim, sums,
                  static_cast<std::size_t>(l.head_dim) * sizeof(float));
    }
  }
}

}  // namespace thermoe::cpu
