// SPDX-License-Identifier: Apache-2.0
#include "control/fermi_sweep.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "control/fermi_vectors.h"

namespace thermoe {
namespace fermi {
namespace {

/// e^x for x clamped to +-80, to 2e-7 relative.
THERMOE_INLINE void exponential(Floats& x) {
  x = x < -80.0F ? Floats{} - 80.0F : x;
  x = x > 80.0F ? Floats{} + 80.0F : x;
  const Floats shifted = x * 1.44269504F + 12582912.0F;
  const Floats whole = shifted - 12582912.0F;
  const Floats r = (x - whole * 0.693359375F) + whole * 2.12194440e-4F;
  Floats p = r * 1.9875691500e-4F + 1.3981999507e-3F;
  p = p * r + 8.3334519073e-3F;
  p = p * r + 4.1665795894e-2F;
  p = p * r + 1.6666665459e-1F;
  p = p * r + 5.0000001201e-1F;
  p = p * r * r + r + 1.0F;
  // The whole number sits in the low bits of `shifted`; added to p's exponent it is the power of 2.
  Ints exponent, bits;
  bits_of(shifted, exponent);
  bits_of(p, bits);
  bits += exponent << 23;
  of_bits(bits, x);
}

/// One row's work space, and what it finds.
struct Row {
  const float* score;
  const float* price;
  std::size_t padded;
  int k;
  float* exponential;  ///< [padded] e^(z at the first threshold)
  float* x;            ///< [padded]
};

/// Sums of x, of w = x (1 - x), of w x and of w^2: of x and its three derivatives by z.
struct Picked {
  float count = 0.0F, slope = 0.0F, wx = 0.0F, ww = 0.0F;
};
struct PickedLanes {
  Floats count{}, slope{}, wx{}, ww{};
  THERMOE_INLINE void add(const Floats& x) {
    const Floats w = x - x * x;
    count += x, slope += w, wx += w * x, ww += w * w;
  }
  THERMOE_INLINE Picked sums() const { return {sum(count), sum(slope), sum(wx), sum(ww)}; }
};

THERMOE_INLINE Picked first_pick(const Row& row, float threshold) {
  PickedLanes lanes;
  for (std::size_t e = 0; e < row.padded; e += kLanes) {
    Floats v, b;
    load(row.score + e, v);
    load(row.price + e, b);
    Floats a = v - b - threshold;
    exponential(a);
    store(row.exponential + e, a);
    const Floats x = a / (a + 1.0F);
    lanes.add(x);
    store(row.x + e, x);
  }
  return lanes.sums();
}

/// x at a threshold that lies `move` above the one of the exponentials.
THERMOE_INLINE Picked pick(const Row& row, float move) {
  Floats ratio = Floats{} + move;
  exponential(ratio);
  PickedLanes lanes;
  for (std::size_t e = 0; e < row.padded; e += kLanes) {
    Floats a;
    load(row.exponential + e, a);
    const Floats x = a / (a + ratio);
    lanes.add(x);
    store(row.x + e, x);
  }
  return lanes.sums();
}

/// Halfway between the k-th and the next best of score - price. Not a hot path: the start where the
/// last threshold is no good one.
float hard_threshold(const Row& row) {
  std::vector<float> value(row.padded);
  for (std::size_t e = 0; e < row.padded; ++e) value[e] = row.score[e] - row.price[e];
  const auto kth = value.begin() + row.k;
  std::nth_element(value.begin(), kth, value.end(), std::greater<>());
  return 0.5F * (*kth + *std::min_element(value.begin(), kth));
}

/// Where x was left, and how much further k are picked: so little that x's cubic there tells it.
struct Threshold {
  float at, rest = 0.0F;
};
constexpr float kRest = 0.05F;

/// The step d to k picks: y = d + a d^2 + b d^3 of the sums' derivatives, by the series' inverse
/// and two corrections; Newton's where it is no small one.
THERMOE_INLINE float step_of(const Picked& p, float excess) {
  const float per_slope = 1.0F / std::max(p.slope, 1e-6F), y = excess * per_slope;
  if (!(std::abs(y) <= 1.0F)) return std::clamp(y, -8.0F, 8.0F);
  const float a = p.wx * per_slope - 0.5F, b = (1.0F / 6.0F) - p.ww * per_slope;
  if (!(std::abs(y) <= kRest)) return y / (1.0F + a * y);
  float d = y - y * y * (a - (2.0F * a * a - b) * y);
  for (int i = 0; i < 2; ++i) d += y - d * (1.0F + d * (a + d * b));
  return d;
}

/// Within a bracket. A move beyond what clamped exponentials can tell begins anew from the hard
/// threshold, then from where it ended.
THERMOE_INLINE Threshold solve_threshold(const Row& row, float threshold) {
  constexpr float kFar = 30.0F;
  const auto k = static_cast<float>(row.k);
  float low = -kNever, high = kNever;
  for (int round = 0; round < 40; ++round) {
    float move = 0.0F;
    Picked p = first_pick(row, threshold);
    for (int i = 0; i < 40; ++i) {
      const float excess = p.count - k;
      if (std::abs(excess) <= 1e-7F * k) return {threshold + move};
      const float step = step_of(p, excess);
      if (std::abs(step) <= kRest) return {threshold + move, step};
      (excess > 0.0F ? low : high) = threshold + move;
      float next = move + step;
      if (threshold + next <= low || threshold + next >= high) {
        next = 0.5F * (low + high) - threshold;
        // Neighbouring numbers: no closer to k can be had.
        if (threshold + next <= low || threshold + next >= high) return {threshold + move};
      }
      move = next;
      if (std::abs(move) > kFar) break;
      p = pick(row, move);
    }
    threshold = round == 0 ? hard_threshold(row) : threshold + move;
  }
  return {threshold};
}

/// Sum of softplus(z) = max(z, 0) - ln max(x, 1 - x) over rows: the logarithms as products, whose
/// exponents are taken out after each row.
struct Softplus {
  double above = 0.0;
  Floats mantissa = Floats{} + 1.0F;
  Ints exponent{};

  THERMOE_INLINE void add(const Floats& of_row_above, const Floats& of_row_product) {
    above += sum(of_row_above);
    Ints bits;
    bits_of(mantissa * of_row_product, bits);
    exponent += (bits >> 23) - 127;
    of_bits((bits & 0x7fffff) | 0x3f800000, mantissa);
  }
  double sum_of() const {
    double s = above;
    for (std::size_t i = 0; i < kLanes; ++i) {
      s -= std::log(static_cast<double>(mantissa[i])) + exponent[i] * 0.69314718055994531;
    }
    return s;
  }
};

/// Adds a row's x to the block.
THERMOE_INLINE void add_row(const Row& row, const Threshold& t, FermiBlock& block, Softplus& plus) {
  const float threshold = t.at + t.rest, d = t.rest;
  const float c0 = d * (1.0F - d * (0.5F - d / 6.0F)), c1 = d * d, c2 = -d * d * d;
  Floats above{}, product = Floats{} + 1.0F;
  for (std::size_t e = 0; e < row.padded; e += kLanes) {
    Floats x, v, b, n, w;
    load(row.x + e, x);
    load(row.score + e, v);
    load(row.price + e, b);
    load(block.load.data() + e, n);
    load(block.curvature.data() + e, w);
    const Floats slope = x - x * x;
    x -= slope * (c0 + c1 * x + c2 * slope);
    const Floats z = v - b - threshold, rest = 1.0F - x;
    above += z > 0.0F ? z : Floats{};
    // At least a half: 64 of them are far from the least number.
    product *= x > rest ? x : rest;
    store(block.load.data() + e, n + x);
    store(block.curvature.data() + e, w + x * rest);
  }
  plus.add(above, product);
}

THERMOE_INLINE void sweep_block(const FermiSweep& s) {
  alignas(64) float exponential[1024], x[1024];
  std::fill_n(s.block->load.data(), s.padded, 0.0F);
  std::fill_n(s.block->curvature.data(), s.padded, 0.0F);
  double thresholds = 0.0;
  Softplus softplus;
  for (int r = 0; r < s.rows; ++r) {
    const Row row{
        s.score + static_cast<std::size_t>(r) * s.padded, s.price, s.padded, s.k, exponential, x};
    const Threshold t = solve_threshold(row, s.threshold[r]);
    add_row(row, t, *s.block, softplus);
    s.threshold[r] = t.at + t.rest;
    thresholds += s.middle[r] + s.tau * s.threshold[r];
  }
  s.block->value = -(thresholds * s.k + s.tau * softplus.sum_of());
}

THERMOE_TARGET_AVX512 void sweep_avx512(const FermiSweep& s) { sweep_block(s); }
THERMOE_TARGET_AVX2 void sweep_avx2(const FermiSweep& s) { sweep_block(s); }

}  // namespace
}  // namespace fermi

void sweep_fermi_block(const FermiSweep& s, cpu::Isa isa) {
  switch (isa) {
    case cpu::Isa::kAvx512:
      return fermi::sweep_avx512(s);
    case cpu::Isa::kAvx2:
      return fermi::sweep_avx2(s);
    case cpu::Isa::kBaseline:
      break;
  }
  return fermi::sweep_block(s);
}

}  // namespace thermoe
