// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <limits>

#include "control/fermi_sweep.h"
#include "control/fermi_vectors.h"

namespace thermoe {
namespace fermi {
namespace {

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

THERMOE_INLINE std::size_t prepare_rows(const FermiScores& p) {
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
    for (std::size_t e = 0; e < p.padded; ++e) {
      const float v = (to[e] - middle) * scale;
      to[e] = v > -kNever ? std::min(v, kNever) : -kNever;
    }
    p.middle[r] = middle;
    p.threshold[r] = 0.0F;
  }
  return p.rows;
}

THERMOE_TARGET_AVX512 std::size_t prepare_avx512(const FermiScores& p) { return prepare_rows(p); }
THERMOE_TARGET_AVX2 std::size_t prepare_avx2(const FermiScores& p) { return prepare_rows(p); }

}  // namespace
}  // namespace fermi

std::size_t prepare_fermi_scores(const FermiScores& p, cpu::Isa isa) {
  switch (isa) {
    case cpu::Isa::kAvx512:
      return fermi::prepare_avx512(p);
    case cpu::Isa::kAvx2:
      return fermi::prepare_avx2(p);
    case cpu::Isa::kBaseline:
      break;
  }
  return fermi::prepare_rows(p);
}

}  // namespace thermoe
