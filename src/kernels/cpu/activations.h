// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <limits>

#include "kernels/cpu/pack.h"

namespace thermoe::cpu {

/// exp(x), relative error below 2e-7; 0 below -87.3, +inf above 88.7. Polynomial of Cephes' expf.
template <int W>
THERMOE_INLINE Floats<W> exp(const Floats<W>& x) {
  constexpr float kLowest = -87.33654F;  // under it the result would be subnormal
  constexpr float kHighest = 88.72283F;
  constexpr float kRound = 12582912.0F;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats<W> inside = select(x > kHighest, kHighest, select(x < kLowest, kLowest, x));
  const Floats<W> n = (inside * 1.44269504F + kRound) - kRound;
  const Floats<W> r = (inside - n * 0.693359375F) + n * 2.12194440e-4F;
  Floats<W> y = r * 1.9875691500e-4F + 1.3981999507e-3F;
  y = y * r + 8.3334519073e-3F;
  y = y * r + 4.1665795894e-2F;
  y = y * r + 1.6666665459e-1F;
  y = y * r + 5.0000001201e-1F;
  y = y * r * r + r + 1.0F;
  // 2^n in two factors, as n = 128 does not fit the exponent of one.
  const Ints<W> whole = convert<std::int32_t>(n);
  const Ints<W> half = whole >> 1;
  const Floats<W> finite =
      y * bits_as<float>((half + 127) << 23) * bits_as<float>((whole - half + 127) << 23);
  return select(x < kLowest, 0.0F,
                select(x > kHighest, std::numeric_limits<float>::infinity(), finite));
}

template <int W>
THERMOE_INLINE Floats<W> sigmoid(const Floats<W>& x) {
  return 1.0F / (1.0F + exp(0.0F - x));
}
/// sqrt(ln(1 + e^x)), relative error below 1e-6; 0 below -87.3, finite for +inf.
template <int W>
THERMOE_INLINE Floats<W> sqrt_softplus(const Floats<W>& x) {
  constexpr float kMost = std::numeric_limits<float>::max();
  // ln(1 + e^x) = max(x, 0) + ln(1 + y) with y = e^-|x| in 0..1; ln(1 + y) = 2 artanh(s) with
  // s = y / (2 + y), at most 1/3. NaN goes through y.
  const Floats<W> y = exp(select(x > 0.0F, 0.0F - x, x));
  const Floats<W> s = y / (2.0F + y);
  const Floats<W> q = s * s;
  Floats<W> series = q * (1.0F / 15.0F) + 1.0F / 13.0F;
  series = series * q + 1.0F / 11.0F;
  series = series * q + 1.0F / 9.0F;
  series = series * q + 1.0F / 7.0F;
  series = series * q + 1.0F / 5.0F;
  series = series * q + 1.0F / 3.0F;
  series = series * q + 1.0F;
  return sqrt(select(x > kMost, kMost, relu(x)) + 2.0F * s * series);
}
template <int W>
THERMOE_INLINE Floats<W> silu(const Floats<W>& x) {
  return x / (1.0F + exp(0.0F - x));
}
template <int W>
THERMOE_INLINE Floats<W> relu(const Floats<W>& x) {
  return select(x > 0.0F, x, splat<W>(0.0F));
}
/// x/2 * (1 + tanh(sqrt(2/pi) * (x + 0.044715 x^3))), by tanh(z) = 2 sigmoid(2z) - 1.
template <int W>
THERMOE_INLINE Floats<W> gelu(const Floats<W>& x) {
  const Floats<W> twice = 1.5957691216F * (x + 0.044715F * x * x * x);
  return x / (1.0F + exp(0.0F - twice));
}

}  // namespace thermoe::cpu
