// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/topk_route.h"

// The arithmetic of cpu/activations.h and cpu/widen_logits.h, operation for operation: compiled
// without contraction, with IEEE division and square root.
namespace thermoe::cuda {

__device__ inline float nan_value() { return __int_as_float(0x7fffffff); }
__device__ inline float infinity() { return __int_as_float(0x7f800000); }

__device__ inline float widen_f16(std::uint16_t bits) {
  const std::uint32_t magnitude = bits & 0x7fffU;
  const float value = __uint_as_float(magnitude << 13) * 0x1p112F;
  const std::uint32_t infinite_or_nan = magnitude >= 0x7c00U ? 0x7f800000U : 0U;
  return __uint_as_float(__float_as_uint(value) | infinite_or_nan | (bits & 0x8000U) << 16);
}

/// Logit `at` of the call.
__device__ inline float logit(const GateLogits& logits, std::int64_t at) {
  if (logits.type == FloatType::kF32) return __ldg(static_cast<const float*>(logits.data) + at);
  const std::uint16_t bits = __ldg(static_cast<const std::uint16_t*>(logits.data) + at);
  if (logits.type == FloatType::kF16) return widen_f16(bits);
  return __uint_as_float(static_cast<std::uint32_t>(bits) << 16);
}

/// exp(x) by the CPU's polynomial.
__device__ inline float exp_of(float x) {
  constexpr float kLowest = -87.33654F;
  constexpr float kHighest = 88.72283F;
  constexpr float kRound = 12582912.0F;
  const float inside = x > kHighest ? kHighest : (x < kLowest ? kLowest : x);
  const float n = (inside * 1.44269504F + kRound) - kRound;
  const float r = (inside - n * 0.693359375F) + n * 2.12194440e-4F;
  float y = r * 1.9875691500e-4F + 1.3981999507e-3F;
  y = y * r + 8.3334519073e-3F;
  y = y * r + 4.1665795894e-2F;
  y = y * r + 1.6666665459e-1F;
  y = y * r + 5.0000001201e-1F;
  y = y * r * r + r + 1.0F;
  const int whole = static_cast<int>(n);
  const int half = whole >> 1;
  const float finite =
      y * __int_as_float((half + 127) << 23) * __int_as_float((whole - half + 127) << 23);
  return x < kLowest ? 0.0F : (x > kHighest ? infinity() : finite);
}

__device__ inline float sqrt_softplus_of(float x) {
  constexpr float kMost = 3.402823466e+38F;
  const float y = exp_of(x > 0.0F ? 0.0F - x : x);
  const float s = y / (2.0F + y);
  const float q = s * s;
  float series = q * (1.0F / 15.0F) + 1.0F / 13.0F;
  series = series * q + 1.0F / 11.0F;
  series = series * q + 1.0F / 9.0F;
  series = series * q + 1.0F / 7.0F;
  series = series * q + 1.0F / 5.0F;
  series = series * q + 1.0F / 3.0F;
  series = series * q + 1.0F;
  const float linear = x > 0.0F ? x : 0.0F;
  return __fsqrt_rn((x > kMost ? kMost : linear) + 2.0F * s * series);
}

/// p but for softmax's denominator; the largest logit's is exactly 1.
__device__ inline float mass_of(ScoreFunction score, float x, float highest) {
  if (score == ScoreFunction::kSigmoid) return 1.0F / (1.0F + exp_of(0.0F - x));
  if (score == ScoreFunction::kSqrtSoftplus) return sqrt_softplus_of(x);
  return x == highest ? 1.0F : exp_of(x - highest);
}

/// Floats as integers in the same order: 0 for NaN, -0 as 0.
__device__ inline std::uint32_t key_of(float x) {
  if (x != x) return 0;
  const std::uint32_t bits = __float_as_uint(x + 0.0F);
  return bits & 0x80000000U ? ~bits : bits | 0x80000000U;
}
/// The number of a key that is not 0.
__device__ inline float value_of(std::uint32_t key) {
  return __uint_as_float(key & 0x80000000U ? key & 0x7fffffffU : ~key);
}

}  // namespace thermoe::cuda
