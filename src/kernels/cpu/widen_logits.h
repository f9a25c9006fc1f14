// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>

#include "core/cpu_isa.h"
#include "kernels/topk_route.h"

// bf16 and f16 to f32: exact, and by integers, so that it is the same on every machine.
namespace thermoe::cpu {

THERMOE_INLINE float widen_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

THERMOE_INLINE float widen_f16(std::uint16_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffU;
  // 2^112 moves the exponent's bias from 15 to 127, of subnormals too.
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  const std::uint32_t infinite_or_nan = magnitude >= 0x7c00U ? 0x7f800000U : 0U;
  const std::uint32_t sign = (bits & 0x8000U) << 16;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | infinite_or_nan | sign);
}

/// Logit `at` of the call's [tokens, experts].
THERMOE_INLINE float logit(const GateLogits& logits, std::ptrdiff_t at) {
  if (logits.type == FloatType::kF32) return static_cast<const float*>(logits.data)[at];
  const std::uint16_t bits = static_cast<const std::uint16_t*>(logits.data)[at];
  return logits.type == FloatType::kBf16 ? widen_bf16(bits) : widen_f16(bits);
}

THERMOE_INLINE void widen(const GateLogits& logits, std::ptrdiff_t at, int count, float* out) {
  if (logits.type == FloatType::kF32) {
    std::copy_n(static_cast<const float*>(logits.data) + at, count, out);
    return;
  }
  const std::uint16_t* bits = static_cast<const std::uint16_t*>(logits.data) + at;
  if (logits.type == FloatType::kBf16) {
    for (int e = 0; e < count; ++e) out[e] = widen_bf16(bits[e]);
  } else {
    for (int e = 0; e < count; ++e) out[e] = widen_f16(bits[e]);
  }
}

}  // namespace thermoe::cpu
