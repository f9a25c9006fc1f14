// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "core/cpu_isa.h"
#include "core/half_float.h"
#include "kernels/topk_route.h"

namespace thermoe::cpu {

/// Logit `at` of the call's [tokens, experts].
THERMOE_INLINE float logit(const GateLogits& logits, std::ptrdiff_t at) {
  if (logits.type == FloatType::kF32) return static_cast<const float*>(logits.data)[at];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(logits.data)[at];
  return logits.type == FloatType::kBf16 ? bf16_to_float(bits) : f16_to_float(bits);
}

THERMOE_INLINE void widen(const GateLogits& logits, std::ptrdiff_t at, int count, float* out) {
  if (logits.type == FloatType::kF32) {
    std::copy_n(static_cast<const float*>(logits.data) + at, count, out);
    return;
  }
  const std::uint16_t* bits = static_cast<const std::uint16_t*>(logits.data) + at;
  if (logits.type == FloatType::kBf16) {
    for (int e = 0; e < count; ++e) out[e] = bf16_to_float(bits[e]);
  } else {
    for (int e = 0; e < count; ++e) out[e] = f16_to_float(bits[e]);
  }
}

}  // namespace thermoe::cpu
