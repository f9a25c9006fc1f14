// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/float_type.h"

namespace thermoe {

/// x rounded to the type, to nearest and ties to even.
inline float rounded_to(FloatType type, float x) {
  if (type == FloatType::kF32 || x == 0.0F || !std::isfinite(x)) return x;
  const bool bf16 = type == FloatType::kBf16;
  int exponent = 0;
  std::frexp(x, &exponent);
  const int step = std::max(exponent - (bf16 ? 8 : 11), bf16 ? -133 : -24);
  const float y = std::ldexp(std::nearbyint(std::ldexp(x, -step)), step);
  const bool overflows = !bf16 && std::abs(y) > 65504.0F;
  return overflows ? std::copysign(std::numeric_limits<float>::infinity(), y) : y;
}

/// Bits in a 16-bit type of a number that it holds exactly, and the number that bits stand for.
inline std::uint16_t to_bits(FloatType type, float x) {
  if (type == FloatType::kBf16) return std::bit_cast<std::uint32_t>(x) >> 16;
  const std::uint16_t sign = std::signbit(x) ? 0x8000 : 0;
  if (std::isinf(x)) return sign | 0x7c00;
  int exponent = 0;
  std::frexp(x, &exponent);
  // 1.m * 2^(exponent - 1); below 2^-14 multiples of 2^-24.
  const int step = std::max(exponent - 11, -24);
  const auto steps = static_cast<int>(std::ldexp(std::abs(x), -step));
  return sign | static_cast<std::uint16_t>(steps < 1024 ? steps : (step + 24) * 1024 + steps);
}
inline float from_bits(FloatType type, std::uint16_t bits) {
  if (type == FloatType::kBf16) return std::bit_cast<float>(std::uint32_t{bits} << 16);
  const int exponent = bits >> 10 & 31;
  const int fraction = bits & 1023;
  float size = std::ldexp(static_cast<float>(fraction + (exponent == 0 ? 0 : 1024)),
                          std::max(exponent, 1) - 25);
  if (exponent == 31) {
    size = fraction == 0 ? std::numeric_limits<float>::infinity()
                         : std::numeric_limits<float>::quiet_NaN();
  }
  return bits >> 15 ? -size : size;
}

}  // namespace thermoe
