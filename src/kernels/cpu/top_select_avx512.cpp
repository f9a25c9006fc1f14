// SPDX-License-Identifier: Apache-2.0
#include "kernels/cpu/top_select.h"

#if defined(__x86_64__)
#include <immintrin.h>

#include <limits>

// The k-th largest of the 16 lanes' maxima bounds the k-th largest key from below, and few keys
// reach it: some 11 of 128 for k = 8. Counting for each of those how many come before it gives its
// place. No step branches on data, and each is done for all selections before the next.
namespace thermoe::cpu {
namespace {

constexpr int kLanesAtOnce = 16;

struct Candidates {
  alignas(64) float key[2 * kLanesAtOnce];
  alignas(64) std::int32_t id[2 * kLanesAtOnce];
  int count;
};

THERMOE_TARGET_AVX512 inline __m512 lane_maxima(const Selection& s, int padded) {
  __m512 most = _mm512_set1_ps(-std::numeric_limits<float>::infinity());
  // The second operand is the result where the first is NaN.
  for (int e = 0; e < padded; e += kLanesAtOnce) {
    most = _mm512_max_ps(_mm512_loadu_ps(s.key + e), most);
  }
  return most;
}

/// The k-th largest of 16 values.
THERMOE_TARGET_AVX512 inline float kth_largest(const float* values, int k) {
  const __m512 all = _mm512_load_ps(values);
  __m512i larger = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int j = 0; j < kLanesAtOnce; ++j) {
    const __mmask16 below = _mm512_cmp_ps_mask(all, _mm512_set1_ps(values[j]), _CMP_LT_OQ);
    larger = _mm512_mask_add_epi32(larger, below, larger, _mm512_set1_epi32(1));
  }
  const __mmask16 reach = _mm512_cmplt_epi32_mask(larger, _mm512_set1_epi32(k));
  return _mm512_mask_reduce_min_ps(reach, all);
}

/// Keys that reach `least`, in order of id; a count of more than 16 if there are too many.
THERMOE_TARGET_AVX512 inline void collect(const Selection& s, int padded, float least,
                                          Candidates& out) {
  const __m512 bound = _mm512_set1_ps(least);
  __m512i id = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  int count = 0;
  for (int e = 0; e < padded && count <= kLanesAtOnce; e += kLanesAtOnce) {
    const __m512 key = _mm512_loadu_ps(s.key + e);
    const __mmask16 in = _mm512_cmp_ps_mask(key, bound, _CMP_GE_OQ);
    _mm512_storeu_ps(out.key + count, _mm512_maskz_compress_ps(in, key));
    _mm512_storeu_si512(out.id + count, _mm512_maskz_compress_epi32(in, id));
    count += __builtin_popcount(in);
    id = _mm512_add_epi32(id, _mm512_set1_epi32(kLanesAtOnce));
  }
  out.count = count;
}

/// Integers in the order of the keys; what is no candidate comes last.
THERMOE_TARGET_AVX512 inline __m512i ordered(const Candidates& c) {
  const auto used = static_cast<__mmask16>((1U << c.count) - 1U);
  // + 0 makes -0 and 0 equal.
  const __m512 key = _mm512_add_ps(_mm512_load_ps(c.key), _mm512_setzero_ps());
  const __m512i bits = _mm512_castps_si512(key);
  const __m512i flip = _mm512_and_si512(_mm512_srai_epi32(bits, 31), _mm512_set1_epi32(0x7fffffff));
  return _mm512_mask_xor_epi32(_mm512_set1_epi32(std::numeric_limits<std::int32_t>::min()), used,
                               bits, flip);
}

/// Writes the ids of the k best candidates. Requires k <= count <= 16.
THERMOE_TARGET_AVX512 inline void place(const Candidates& c, const std::int32_t* order,
                                        const Selection& s) {
  // Candidate j goes before i if it is larger, or equal and j < i: larger than i's order less 1.
  __m512i bar = _mm512_sub_epi32(_mm512_load_si512(order), _mm512_set1_epi32(1));
  __m512i place = _mm512_setzero_si512();
#pragma GCC unroll 16
  for (int j = 0; j < kLanesAtOnce; ++j) {
    bar = _mm512_mask_add_epi32(bar, static_cast<__mmask16>(1U << j), bar, _mm512_set1_epi32(1));
    const __mmask16 after = _mm512_cmplt_epi32_mask(bar, _mm512_set1_epi32(order[j]));
    place = _mm512_mask_add_epi32(place, after, place, _mm512_set1_epi32(1));
  }
  const auto used = static_cast<__mmask16>((1U << c.count) - 1U);
  const __mmask16 best = _mm512_mask_cmplt_epi32_mask(used, place, _mm512_set1_epi32(s.k));
  _mm512_mask_i32scatter_epi32(s.id, best, place, _mm512_load_si512(c.id), sizeof(std::int32_t));
}

}  // namespace

THERMOE_TARGET_AVX512 void select_avx512(std::span<const Selection> selections, int padded) {
  alignas(64) float lanes[kSelectionsAtOnce][kLanesAtOnce];
  alignas(64) std::int32_t order[kSelectionsAtOnce][kLanesAtOnce];
  Candidates candidates[kSelectionsAtOnce];
  const std::size_t count = selections.size();
  for (std::size_t i = 0; i < count; ++i) {
    _mm512_store_ps(lanes[i], lane_maxima(selections[i], padded));
  }
  float least[kSelectionsAtOnce];
  for (std::size_t i = 0; i < count; ++i) least[i] = kth_largest(lanes[i], selections[i].k);
  for (std::size_t i = 0; i < count; ++i) collect(selections[i], padded, least[i], candidates[i]);
  const auto feasible = [&](std::size_t i) {
    return selections[i].k <= candidates[i].count && candidates[i].count <= kLanesAtOnce;
  };
  for (std::size_t i = 0; i < count; ++i) {
    if (feasible(i)) _mm512_store_si512(order[i], ordered(candidates[i]));
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (feasible(i)) {
      place(candidates[i], order[i], selections[i]);
    } else {
      select_one(selections[i], padded);
    }
  }
}

}  // namespace thermoe::cpu

#else

void thermoe::cpu::select_avx512(std::span<const Selection> selections, int padded) {
  for (const Selection& s : selections) select_one(s, padded);
}

#endif
