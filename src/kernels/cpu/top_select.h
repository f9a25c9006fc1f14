// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "core/cpu_isa.h"

namespace thermoe::cpu {

/// The k best of a row of keys: largest first, equal keys by lowest index, NaN never.
struct Selection {
  const float* key = nullptr;  ///< [padded], NaN from the last expert on
  std::int32_t* id = nullptr;  ///< out [k]; -1 behind the last key that is no NaN
  int k = 0;
};

/// Selections that are worked off side by side: alone, each would wait for its own results.
inline constexpr int kSelectionsAtOnce = 16;

/// By insertion: any k.
[[gnu::noinline]] inline void select_one(const Selection& s, int padded) {
  int size = 0;
  for (std::int32_t e = 0; e < padded; ++e) {
    const float key = s.key[e];
    if (size == s.k ? !(key > s.key[s.id[s.k - 1]]) : key != key) continue;
    int at = size < s.k ? size++ : s.k - 1;
    for (; at > 0 && key > s.key[s.id[at - 1]]; --at) s.id[at] = s.id[at - 1];
    s.id[at] = e;
  }
  std::fill(s.id + size, s.id + s.k, -1);
}

/// The same by AVX-512, at most kSelectionsAtOnce: what it cannot do it leaves to `select_one`.
void select_avx512(std::span<const Selection> selections, int padded);

/// `padded` is a multiple of 16.
template <int W>
THERMOE_INLINE void select_top(std::span<const Selection> selections, int padded) {
  if constexpr (W == kAvx512Width) {
    select_avx512(selections, padded);
  } else {
    for (const Selection& s : selections) select_one(s, padded);
  }
}

}  // namespace thermoe::cpu
