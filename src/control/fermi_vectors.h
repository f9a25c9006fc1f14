// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "control/fermi_sweep.h"
#include "core/cpu_isa.h"

// Vectors of the compiler's own, as wide as a cache line: each function that uses them is compiled
// once for every instruction set, so that all of these must be inlined into it.
namespace thermoe::fermi {

inline constexpr std::size_t kLanes = kFermiLanes;

typedef float Floats __attribute__((vector_size(64)));
typedef std::int32_t Ints __attribute__((vector_size(64)));

THERMOE_INLINE void load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }
THERMOE_INLINE void store(float* to, const Floats& v) { std::memcpy(to, &v, sizeof v); }
THERMOE_INLINE void bits_of(const Floats& v, Ints& bits) { std::memcpy(&bits, &v, sizeof v); }
THERMOE_INLINE void of_bits(const Ints& bits, Floats& v) { std::memcpy(&v, &bits, sizeof v); }

typedef float HalfFloats __attribute__((vector_size(32)));
typedef float QuarterFloats __attribute__((vector_size(16)));
/// By halves: a chain of 16 additions would take as long as the row.
THERMOE_INLINE float sum(const Floats& v) {
  const HalfFloats a = __builtin_shufflevector(v, v, 0, 1, 2, 3, 4, 5, 6, 7) +
                       __builtin_shufflevector(v, v, 8, 9, 10, 11, 12, 13, 14, 15);
  const QuarterFloats b =
      __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
  return (b[0] + b[2]) + (b[1] + b[3]);
}

/// Beyond all scores and thresholds, in units of tau: what infinity is to a sweep.
inline constexpr float kNever = 1e30F;

}  // namespace thermoe::fermi
