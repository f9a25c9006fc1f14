// SPDX-License-Identifier: Apache-2.0
#include "moe/kv_cache.h"

#include <cmath>
#include <cstring>
#include <limits>

#include "core/errors.h"
#include "kernels/cpu/activations.h"

namespace thermoe {
namespace {

using cpu::kLanes;

constexpr int kMaxHeadDim = 1024;

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
    cpu::Floats<W> sum = cpu::splat<W>(0.0F);
    for (int i = 0; i < a.head_dim; ++i, key += kLanes) sum = sum + a.query[i] * cpu::load<W>(key);
    cpu::store(a.scores + p, scale * sum);
  }
}

/// Scores to weights that sum to 1, whole blocks of 16: what lies beyond the positions becomes 0.
template <int W>
THERMOE_INLINE void softmax_scores(const HeadAttention& a) {
  const int padded = (a.positions + kLanes - 1) / kLanes * kLanes;
  for (int p = a.positions; p < padded; ++p) a.scores[p] = -std::numeric_limits<float>::infinity();
  cpu::Floats<W> highest = cpu::load<W>(a.scores);
  for (int p = kLanes; p < padded; p += kLanes) {
    const cpu::Floats<W> s = cpu::load<W>(a.scores + p);
    highest = cpu::select(s > highest, s, highest);
  }
  const float most = cpu::max(highest);
  cpu::Floats<W> sums = cpu::splat<W>(0.0F);
  for (int p = 0; p < padded; p += kLanes) {
    const cpu::Floats<W> weight = cpu::exp(cpu::load<W>(a.scores + p) - most);
    cpu::store(a.scores + p, weight);
    sums = sums + weight;
  }
  const float scale = 1.0F / cpu::sum(sums);
  for (int p = 0; p < padded; p += kLanes) {
    cpu::store(a.scores + p, scale * cpu::load<W>(a.scores + p));
  }
}

/// sum over positions of weight_p * value_p, 32 of head_dim at a time.
template <int W>
THERMOE_INLINE void weigh_values(const HeadAttention& a) {
  for (int j = 0; j < a.stride; j += 2 * kLanes) {
    cpu::Floats<W> low = cpu::splat<W>(0.0F);
    cpu::Floats<W> high = cpu::splat<W>(0.0F);
    const float* value = a.values + j;
    for (int p = 0; p < a.positions; ++p, value += a.stride) {
      low = low + a.scores[p] * cpu::load<W>(value);
      high = high + a.scores[p] * cpu::load<W>(value + kLanes);
    }
    cpu::store(a.sums + j, low);
    cpu::store(a.sums + j + kLanes, high);
  }
}

template <int W>
THERMOE_INLINE void attend_head(const HeadAttention& a) {
  score_keys<W>(a);
  softmax_scores<W>(a);
  weigh_values<W>(a);
}

THERMOE_TARGET_AVX512 void attend_avx512(const HeadAttention& a) {
  attend_head<cpu::kAvx512Width>(a);
}
THERMOE_TARGET_AVX2 void attend_avx2(const HeadAttention& a) { attend_head<cpu::kAvx2Width>(a); }
void attend_baseline(const HeadAttention& a) { attend_head<cpu::kBaselineWidth>(a); }

void attend_best(const HeadAttention& a) {
  switch (cpu::best_isa()) {
    case cpu::Isa::kAvx512:
      return attend_avx512(a);
    case cpu::Isa::kAvx2:
      return attend_avx2(a);
    case cpu::Isa::kBaseline:
      return attend_baseline(a);
  }
}

}  // namespace

KvCache::KvCache(const KvCacheShape& shape)
    : shape_(shape),
      blocks_((shape.context + kLanes - 1) / kLanes),
      value_stride_((shape.head_dim + 2 * kLanes - 1) / (2 * kLanes) * (2 * kLanes)) {
  THERMOE_EXPECT(shape.layers >= 1 && shape.streams >= 1 && shape.heads >= 1 && shape.context >= 1,
                 "a KV cache needs at least one layer, stream, head and position");
  THERMOE_EXPECT(shape.head_dim >= 1 && shape.head_dim <= kMaxHeadDim,
                 "head_dim={} is not in 1..{}", shape.head_dim, kMaxHeadDim);
  const std::size_t rows = row(shape.layers - 1, shape.streams - 1, shape.heads - 1) + 1;
  keys_.resize(rows * blocks_ * shape.head_dim * kLanes);
  values_.resize(rows * shape.context * value_stride_);
}

std::size_t KvCache::row(int layer, int stream, int head) const {
  return (static_cast<std::size_t>(layer) * shape_.streams + stream) * shape_.heads + head;
}

void KvCache::store(int layer, int stream, int position, const float* key, const float* value) {
  const int hd = shape_.head_dim;
  for (int h = 0; h < shape_.heads; ++h) {
    const std::size_t r = row(layer, stream, h);
    float* k = keys_.data() + (r * blocks_ + position / kLanes) * hd * kLanes + position % kLanes;
    for (int i = 0; i < hd; ++i) k[static_cast<std::ptrdiff_t>(i) * kLanes] = key[h * hd + i];
    std::memcpy(values_.data() + (r * shape_.context + position) * value_stride_, value + h * hd,
                static_cast<std::size_t>(hd) * sizeof(float));
  }
}

void KvCache::attend(int layer, int stream, int head, int positions, const float* query,
                     float* scores, float* out) const {
  const int hd = shape_.head_dim;
  const std::size_t r = row(layer, stream, head);
  float sums[kMaxHeadDim + 2 * kLanes];
  attend_best({.query = query,
               .keys = keys_.data() + r * blocks_ * hd * kLanes,
               .values = values_.data() + r * shape_.context * value_stride_,
               .positions = positions,
               .head_dim = hd,
               .stride = value_stride_,
               .scores = scores,
               .sums = sums});
  std::memcpy(out, sums, static_cast<std::size_t>(hd) * sizeof(float));
}

}  // namespace thermoe
