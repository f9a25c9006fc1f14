// SPDX-License-Identifier: Apache-2.0
#pragma once

// One binary runs on any x86-64 and runs fast: hot functions are templates over the number of
// floats in a native vector, instantiated once for each instruction set below and chosen at run
// time. What such a function calls must be THERMOE_INLINE, or it is compiled for plain x86-64.
#if defined(__x86_64__)
#define THERMOE_TARGET_AVX512 __attribute__((target("arch=x86-64-v4")))
#define THERMOE_TARGET_AVX2 __attribute__((target("arch=x86-64-v3")))
#else
#define THERMOE_TARGET_AVX512
#define THERMOE_TARGET_AVX2
#endif

#define THERMOE_INLINE [[gnu::always_inline]] inline

namespace thermoe::cpu {

/// Instruction sets that hot functions are compiled for, the simplest first.
enum class Isa { kBaseline, kAvx2, kAvx512 };

/// Floats in a native vector of each.
inline constexpr int kBaselineWidth = 4;
inline constexpr int kAvx2Width = 8;
inline constexpr int kAvx512Width = 16;

/// Whether this machine (and its operating system) runs `isa`.
inline bool supported([[maybe_unused]] Isa isa) {
#if defined(__x86_64__) && defined(__clang__)  // clang 14 knows features, not levels
  if (isa == Isa::kAvx512) {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
  }
  if (isa == Isa::kAvx2) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
           __builtin_cpu_supports("bmi2");
  }
#elif defined(__x86_64__)
  if (isa == Isa::kAvx512) return __builtin_cpu_supports("x86-64-v4");
  if (isa == Isa::kAvx2) return __builtin_cpu_supports("x86-64-v3");
#endif
  return isa == Isa::kBaseline;
}

/// The best that this machine runs.
inline Isa best_isa() {
  return supported(Isa::kAvx512) ? Isa::kAvx512
         : supported(Isa::kAvx2) ? Isa::kAvx2
                                 : Isa::kBaseline;
}

}  // namespace thermoe::cpu
