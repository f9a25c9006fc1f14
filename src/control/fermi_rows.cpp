// SPDX-License-Identifier: Apache-2.0
#include "control/fermi_rows.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <thread>

#include "core/errors.h"

#define THERMOE_INLINE inline __attribute__((always_inline))

namespace thermoe {
namespace {

constexpr std::size_t kLanes = 16;
constexpr int kBlockRows = 64;

typedef float Floats __attribute__((vector_size(64)));
typedef std::int32_t Ints __attribute__((vector_size(64)));

THERMOE_INLINE void load(const float* from, Floats& to) { std::memcpy(&to, from, sizeof to); }
THERMOE_INLINE void store(float* to, const Floats& v) { std::memcpy(to, &v, sizeof v); }

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
  std::memcpy(&exponent, &shifted, sizeof exponent);
  std::memcpy(&bits, &p, sizeof bits);
  bits += exponent << 23;
  std::memcpy(&x, &bits, sizeof x);
}

THERMOE_INLINE float sum(const Floats& v) {
  float s = 0.0F;
  for (std::size_t i = 0; i < kLanes; ++i) s += v[i];
  return s;
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

/// x at a threshold that lies `ln ratio` above the one of the exponentials; their sum and slope.
struct Picked {
  float count = 0.0F, slope = 0.0F;
};
THERMOE_INLINE Picked pick(const Row& row, float ratio) {
  Floats count{}, slope{};
  for (std::size_t e = 0; e < row.padded; e += kLanes) {
    Floats a;
    load(row.exponential + e, a);
    const Floats x = a / (a + ratio);
    count += x;
    slope += x - x * x;
    store(row.x + e, x);
  }
  return {sum(count), sum(slope)};
}

THERMOE_INLINE void exponentials(const Row& row, float threshold) {
  for (std::size_t e = 0; e < row.padded; e += kLanes) {
    Floats v, b;
    load(row.score + e, v);
    load(row.price + e, b);
    Floats z = v - b - threshold;
    exponential(z);
    store(row.exponential + e, z);
  }
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

/// Newton within a bracket for the threshold at which k are picked; leaves x there. A move beyond
/// what clamped exponentials can tell begins anew from the hard threshold, then from where it ended.
THERMOE_INLINE float solve_threshold(const Row& row, float threshold) {
  constexpr float kFar = 30.0F;
  const auto k = static_cast<float>(row.k);
  const float close = 1e-6F * k;
  float low = -std::numeric_limits<float>::infinity(), high = -low;
  for (int round = 0; round < 40; ++round) {
    exponentials(row, threshold);
    float move = 0.0F;
    for (int i = 0; i < 40; ++i) {
      const Picked p = pick(row, std::exp(move));
      const float excess = p.count - k;
      if (std::abs(excess) <= close) return threshold + move;
      (excess > 0.0F ? low : high) = threshold + move;
      const float step = excess / std::max(p.slope, 1e-6F);
      float next = move + std::clamp(step, -8.0F, 8.0F);
      if (threshold + next <= low || threshold + next >= high) {
        next = 0.5F * (low + high) - threshold;
        // Neighbouring numbers: no closer to k can be had.
        if (threshold + next <= low || threshold + next >= high) return threshold + move;
      }
      move = next;
      if (std::abs(move) > kFar) break;
    }
    threshold = round == 0 ? hard_threshold(row) : threshold + move;
  }
  return threshold;
}

/// Sum of max(z, 0), and the product of max(x, 1 - x) in two halves, none below 2^-512.
struct Logs {
  float above = 0.0F;
  double low = 1.0, high = 1.0;
};
/// Adds a row's x to the block.
THERMOE_INLINE Logs add_row(const Row& row, float threshold, FermiRows::Block& block) {
  Floats above{}, product = Floats{} + 1.0F;
  for (std::size_t e = 0; e < row.padded; e += kLanes) {
    Floats x, v, b, n, w;
    load(row.x + e, x);
    load(row.score + e, v);
    load(row.price + e, b);
    load(block.load.data() + e, n);
    load(block.curvature.data() + e, w);
    const Floats z = v - b - threshold;
    above += z > 0.0F ? z : Floats{};
    const Floats rest = 1.0F - x;
    product *= x > rest ? x : rest;
    store(block.load.data() + e, n + x);
    store(block.curvature.data() + e, w + x * rest);
  }
  Logs logs{.above = sum(above)};
  for (std::size_t i = 0; i < kLanes / 2; ++i) {
    logs.low *= product[i];
    logs.high *= product[i + kLanes / 2];
  }
  return logs;
}

struct Sweep {
  const float* score;
  float* threshold;
  const double* middle;
  const float* price;
  std::size_t padded;
  int rows, k;
  double tau;
  FermiRows::Block* block;
};

/// -sum of (mu k + tau sum of softplus(z)), and the loads, of one block of one layer's rows.
THERMOE_INLINE void sweep_block(const Sweep& s) {
  alignas(64) float exponential[1024], x[1024];
  std::fill_n(s.block->load.data(), s.padded, 0.0F);
  std::fill_n(s.block->curvature.data(), s.padded, 0.0F);
  double thresholds = 0.0, above = 0.0, mantissa = 1.0;
  std::int64_t exponent = 0;
  for (int r = 0; r < s.rows; ++r) {
    const Row row{
        s.score + static_cast<std::size_t>(r) * s.padded, s.price, s.padded, s.k, exponential, x};
    s.threshold[r] = solve_threshold(row, s.threshold[r]);
    const Logs logs = add_row(row, s.threshold[r], *s.block);
    thresholds += s.middle[r] + s.tau * s.threshold[r];
    above += logs.above;
    int shift = 0;
    mantissa = std::frexp(mantissa * logs.low, &shift);
    exponent += shift;
    mantissa = std::frexp(mantissa * logs.high, &shift);
    exponent += shift;
  }
  const double softplus =
      above - std::log(mantissa) - static_cast<double>(exponent) * 0.69314718055994531;
  s.block->value = -(thresholds * s.k + s.tau * softplus);
}

struct Prepare {
  const float* from;  ///< [rows, experts]
  float* to;          ///< [rows, padded]
  double* middle;     ///< [rows]
  float* threshold;   ///< [rows]
  std::size_t rows, experts, padded;
  int k;
  double tau;
};

/// About the row's k-th best score: the k-th largest of its lanes' maxima. -infinity if none is
/// finite.
THERMOE_INLINE float about_kth(const float* row, std::size_t padded, int k) {
  Floats most = Floats{} - std::numeric_limits<float>::infinity();
  for (std::size_t e = 0; e < padded; e += kLanes) {
    Floats v;
    load(row + e, v);
    most = v > most ? v : most;
  }
  Ints larger{};
  for (std::size_t i = 0; i < kLanes; ++i) larger -= most < most[i];
  float least = std::numeric_limits<float>::infinity();
  for (std::size_t i = 0; i < kLanes; ++i) {
    if (larger[i] < k && most[i] >= std::numeric_limits<float>::lowest()) {
      least = std::min(least, most[i]);
    }
  }
  return least;
}

/// Scales the rows; returns the first with k finite scores or fewer, a NaN or +infinity, else
/// `rows`.
THERMOE_INLINE std::size_t prepare_rows(const Prepare& p) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const auto scale = static_cast<float>(1.0 / p.tau);
  for (std::size_t r = 0; r < p.rows; ++r) {
    const float* from = p.from + r * p.experts;
    float* to = p.to + r * p.padded;
    int finite = 0, bad = 0;
    for (std::size_t e = 0; e < p.experts; ++e) {
      finite += from[e] > -kInfinity && from[e] < kInfinity ? 1 : 0;
      bad += from[e] < kInfinity ? 0 : 1;
      to[e] = from[e];
    }
    if (finite <= p.k || bad > 0) return r;
    for (std::size_t e = p.experts; e < p.padded; ++e) to[e] = -kInfinity;
    const float middle = about_kth(to, p.padded, p.k);
    for (std::size_t e = 0; e < p.padded; ++e) to[e] = (to[e] - middle) * scale;
    p.middle[r] = middle;
    p.threshold[r] = 0.0F;
  }
  return p.rows;
}

#if defined(__x86_64__)
#define THERMOE_V4 __attribute__((target("arch=x86-64-v4")))
#define THERMOE_V3 __attribute__((target("arch=x86-64-v3")))
THERMOE_V4 void sweep_v4(const Sweep& s) { sweep_block(s); }
THERMOE_V3 void sweep_v3(const Sweep& s) { sweep_block(s); }
THERMOE_V4 std::size_t prepare_v4(const Prepare& p) { return prepare_rows(p); }
THERMOE_V3 std::size_t prepare_v3(const Prepare& p) { return prepare_rows(p); }
#endif
void sweep_plain(const Sweep& s) { sweep_block(s); }
std::size_t prepare_plain(const Prepare& p) { return prepare_rows(p); }

/// The functions for the widest vectors that this processor has.
struct Functions {
  void (*sweep)(const Sweep&) = sweep_plain;
  std::size_t (*prepare)(const Prepare&) = prepare_plain;
};
Functions best_functions() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("x86-64-v4")) return {sweep_v4, prepare_v4};
  if (__builtin_cpu_supports("x86-64-v3")) return {sweep_v3, prepare_v3};
#endif
  return {};
}

}  // namespace

FermiRows::FermiRows(std::span<const float> scores, int layers, int tokens, int experts, int k,
                     double tau)
    : layers_(layers),
      tokens_(tokens),
      experts_(experts),
      k_(k),
      tau_(tau),
      padded_((static_cast<std::size_t>(experts) + kLanes - 1) / kLanes * kLanes) {
  THERMOE_EXPECT(layers >= 1 && tokens >= 1 && k >= 1 && k < experts && experts <= 1024,
                 "{} layers of {} tokens, k={} of {} experts: need 1 <= k < experts <= 1024",
                 layers, tokens, k, experts);
  THERMOE_EXPECT(std::isfinite(tau) && tau > 0.0, "tau={} must be above 0", tau);
  const std::size_t rows = static_cast<std::size_t>(layers) * tokens;
  const auto e = static_cast<std::size_t>(experts);
  THERMOE_EXPECT(scores.size() == rows * e, "{} scores, need {}", scores.size(), rows * e);
  score_.resize(rows * padded_);
  middle_.resize(rows);
  threshold_.resize(rows);
  price_.assign(static_cast<std::size_t>(layers) * padded_, 0.0F);
  const std::size_t sound = best_functions().prepare({.from = scores.data(),
                                                      .to = score_.data(),
                                                      .middle = middle_.data(),
                                                      .threshold = threshold_.data(),
                                                      .rows = rows,
                                                      .experts = e,
                                                      .padded = padded_,
                                                      .k = k,
                                                      .tau = tau});
  THERMOE_EXPECT(
      sound == rows, "layer {}, token {}: needs more than k={} finite scores, no NaN, no +infinity",
      sound / static_cast<std::size_t>(tokens), sound % static_cast<std::size_t>(tokens), k);
  const int blocks = (tokens + kBlockRows - 1) / kBlockRows;
  blocks_.assign(static_cast<std::size_t>(layers) * blocks,
                 {.load = std::vector<float>(padded_), .curvature = std::vector<float>(padded_)});
}

void FermiRows::sweep(std::span<const double> price, int threads, FermiLoads& out) {
  const auto e = static_cast<std::size_t>(experts_);
  const std::size_t a_layer = blocks_.size() / static_cast<std::size_t>(layers_);
  for (int l = 0; l < layers_; ++l) {
    for (std::size_t i = 0; i < e; ++i) {
      price_[l * padded_ + i] = static_cast<float>(price[l * e + i] / tau_);
    }
  }
  const auto run = best_functions().sweep;
  const auto work = [&](std::size_t first) {
    for (std::size_t b = first; b < blocks_.size(); b += static_cast<std::size_t>(threads)) {
      const std::size_t layer = b / a_layer, token = b % a_layer * kBlockRows;
      const std::size_t row = layer * tokens_ + token;
      run({.score = score_.data() + row * padded_,
           .threshold = threshold_.data() + row,
           .middle = middle_.data() + row,
           .price = price_.data() + layer * padded_,
           .padded = padded_,
           .rows = static_cast<int>(std::min<std::size_t>(kBlockRows, tokens_ - token)),
           .k = k_,
           .tau = tau_,
           .block = &blocks_[b]});
    }
  };
  {
    std::vector<std::jthread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work, static_cast<std::size_t>(i));
    work(0);
  }
  out.value = 0.0;
  out.load.assign(static_cast<std::size_t>(layers_) * e, 0.0);
  out.curvature.assign(out.load.size(), 0.0);
  for (std::size_t b = 0; b < blocks_.size(); ++b) {
    const std::size_t cell = b / a_layer * e;
    out.value += blocks_[b].value;
    for (std::size_t i = 0; i < e; ++i) {
      out.load[cell + i] += blocks_[b].load[i];
      out.curvature[cell + i] += blocks_[b].curvature[i] / tau_;
    }
  }
}

std::vector<double> FermiRows::picks(std::size_t row, std::span<const double> price) const {
  const auto e = static_cast<std::size_t>(experts_);
  const std::size_t layer = row / static_cast<std::size_t>(tokens_);
  std::vector<double> x(e);
  for (std::size_t i = 0; i < e; ++i) {
    const double z = score_[row * padded_ + i] - price[layer * e + i] / tau_ - threshold_[row];
    x[i] = 1.0 / (1.0 + std::exp(-z));
  }
  return x;
}

}  // namespace thermoe
