// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <span>

// Plain functions that nvcc also compiles for the device.
#ifdef __CUDACC__
#define THERMOE_HOST_DEVICE __host__ __device__
#else
#define THERMOE_HOST_DEVICE
#endif

namespace thermoe {

/// What the shares of a LayerPlan mean: whether token t of a batch of `tokens` has one more, a
/// share of all (token, step) pairs. It is spread evenly (Bresenham) over tokens and rotates from
/// step to step, so that it holds for each token over time too.
THERMOE_HOST_DEVICE inline bool has_extra(float share, int layer, std::uint64_t step, int t,
                                          int tokens) {
  if (!(share > 0.0F)) return false;
  const double part = share < 1.0F ? static_cast<double>(share) : 1.0;
  const auto n = static_cast<std::uint64_t>(tokens);
  // The token's turn in this step: turns rotate, or a share of one half would always favour the
  // same streams.
  const std::uint64_t turn =
      (static_cast<std::uint64_t>(t) + step + static_cast<std::uint64_t>(layer)) % n;
  const auto i = static_cast<double>(step * n + turn);
  return std::floor((i + 1.0) * part) > std::floor(i * part);
}

/// How many each token of a batch takes: `whole`, a share `extra` of them one more. by_token
/// [tokens] is written.
void spread_extra(int whole, float extra, int layer, std::uint64_t step, std::span<int> by_token);

}  // namespace thermoe
