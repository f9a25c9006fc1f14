// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>

#include "core/cpu_isa.h"

namespace thermoe {

/// Exact, and by integers, so that it is the same on every machine.
THERMOE_INLINE float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

THERMOE_INLINE float f16_to_float(std::uint16_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffU;
  // 2^112 moves the exponent's bias from 15 to 127, of subnormals too.
  const float value = std::bit_cast<float>(magnitude << 13) * 0x1p112F;
  const std::uint32_t infinite_or_nan = magnitude >= 0x7c00U ? 0x7f800000U : 0U;
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | infinite_or_nan | sign);
}

}  // namespace thermoe
