// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/route_token.cuh"

// What a call writes of a row, once the token's picks stand.
namespace thermoe::cuda {

/// What an empty slot of a row without picks holds where slots are left empty.
inline constexpr std::int32_t kEmpty = -1;

/// Ids, weights and kept mass of a token's picks, by one warp. `without`: what a row without picks
/// holds; kEmpty where no slot is to be filled yet.
__device__ inline void write_picks(const TopkRouteArgs& a, const TokenPlace& at,
                                   const TokenState& s, std::int32_t without, int lane) {
  const float mass = sum_of_masses(s, s.picked);
  float unit = mass;
  if (a.router.denominator == WeightDenominator::kReference) unit = s.top_mass;
  if (a.router.denominator == WeightDenominator::kNone) unit = s.whole == 0.0F ? 1.0F : s.whole;
  const float scale = a.router.routed_scale;
  const std::int32_t empty = without == kEmpty || s.picked == 0 ? without : s.id[0];
#pragma unroll 1
  for (int n = lane; n < a.slots; n += kWarp) {
    const bool used = n < s.picked;
    float weight = 0.0F;
    if (used)
      weight = unit > 0.0F ? s.mass[n] / unit * scale : scale / static_cast<float>(s.picked);
    a.expert[at.row * a.slots + n] = used ? s.id[n] : empty;
    a.weight[at.row * a.slots + n] = weight;
  }
  if (a.kept_mass && lane == 0) {
    const float kept = mass / s.top_mass;
    a.kept_mass[at.row] = s.top_mass > 0.0F && kept < 1.0F ? kept : 1.0F;
  }
}

/// A padding row, by one warp; `without` as above.
__device__ inline void write_padding(const TopkRouteArgs& a, std::int64_t row, std::int32_t without,
                                     int lane) {
#pragma unroll 1
  for (int n = lane; n < a.slots; n += kWarp) {
    a.expert[row * a.slots + n] = without;
    a.weight[row * a.slots + n] = 0.0F;
  }
  if (a.kept_mass && lane == 0) a.kept_mass[row] = 1.0F;
}

/// The row's logits, as they are, where this call is sampled. By one warp.
__device__ inline void write_sample(const TopkRouteArgs& a, RouteFlags flags, int row, int lane) {
  const bool second = flags.has(RouteFlags::kSecondSlot);
  if ((!second && !flags.has(RouteFlags::kFirstSlot)) || row >= a.sample.rows) return;
  // In halves of a logit where it has 32 bits: one loop for all types.
  const int wide = a.logits.type == FloatType::kF32 ? 2 : 1;
  const std::int64_t first = std::int64_t{row} * a.router.experts;
  const auto* from = static_cast<const std::uint16_t*>(a.logits.data) + first * wide;
  auto* to = static_cast<std::uint16_t*>(a.sample.logits) +
             ((second ? a.sample.distance : 0) + first) * wide;
#pragma unroll 4
  for (int i = lane; i < a.router.experts * wide; i += kWarp) to[i] = __ldg(from + i);
}

/// What needs the batch's counts: masked logits, then filled slots. By one warp; `lowest` is the
/// lowest id that runs, else 0.
__device__ inline void finish_row(const TopkRouteArgs& a, std::int64_t row,
                                  const std::int32_t* counts, int lowest, int lane) {
  const int experts = a.router.experts;
  std::int32_t* ids = a.expert + row * a.slots;
  if (a.masked_logits) {
    float* masked = a.masked_logits + row * experts;
#pragma unroll 1
    for (int e = lane; e < experts; e += kWarp) {
      masked[e] = counts[e] > 0 ? kMaskedLogit / 2 : kMaskedLogit;
    }
    __syncwarp();
#pragma unroll 1
    for (int n = lane; n < a.slots; n += kWarp) {
      if (ids[n] < 0) continue;
      const float x = logit(a.logits, row * experts + ids[n]);
      masked[ids[n]] = x < kMaskedLogit / 4 ? kMaskedLogit / 4 : x;
    }
  }
  if (a.fill_slots) {
    const std::int32_t best = ids[0];
    __syncwarp();
#pragma unroll 1
    for (int n = lane; n < a.slots; n += kWarp) {
      if (ids[n] < 0) ids[n] = best >= 0 ? best : lowest;
    }
  }
}

}  // namespace thermoe::cuda
