// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/topk_route.h"

// Which experts run, and who works on what: found on the device, by each block for itself.
namespace thermoe::cuda {

/// The picks of a batch, and the experts of them that one launch runs.
struct ExpertPicks {
  const std::int32_t* first;    ///< ExpertOrder's
  const std::int32_t* pair;     ///< ExpertOrder's
  const std::uint8_t* variant;  ///< [experts]; null: all of `runs`
  std::uint8_t runs;            ///< experts of other variants are left to another launch
  int experts;
};

/// Up to `most` picks of one expert, those from `pick` on, and one pair of its panels of outputs.
struct ExpertUnit {
  int expert;
  int pick;
  int count;
  int panels;
};

/// The units of a launch, in shared memory. Those that read the same weights follow each other, so
/// that all but the first find them in L2.
class ExpertSchedule {
 public:
  static constexpr int kSharedBytes = (2 * (kMaxExperts + 1) + 32) * 4;

  /// Called by all threads of the block, once.
  __device__ void build(const ExpertPicks& picks, int most_picks, int panel_pairs) {
    most_ = most_picks;
    pairs_ = panel_pairs;
    experts_ = picks.experts;
    __shared__ int warp_sum[32];
    const int each =
        (picks.experts + static_cast<int>(blockDim.x) - 1) / static_cast<int>(blockDim.x);
    const int begin = min(static_cast<int>(threadIdx.x) * each, picks.experts);
    const int end = min(begin + each, picks.experts);
    int sum = 0;
    for (int e = begin; e < end; ++e) {
      shared_first()[e] = picks.first[e];
      shared_tile()[e] = sum;
      if (!picks.variant || (picks.variant[e] == 1) == (picks.runs == 1)) {
        sum += (picks.first[e + 1] - picks.first[e] + most_picks - 1) / most_picks;
      }
    }
    if (threadIdx.x == 0) shared_first()[picks.experts] = picks.first[picks.experts];
    const int lane = static_cast<int>(threadIdx.x) % 32;
    int before = sum;
    for (int step = 1; step < 32; step *= 2) {
      const int other = __shfl_up_sync(~0U, before, step);
      if (lane >= step) before += other;
    }
    if (lane == 31) warp_sum[threadIdx.x / 32] = before;
    __syncthreads();
    before -= sum;
    for (unsigned w = 0; w < threadIdx.x / 32; ++w) before += warp_sum[w];
    for (int e = begin; e < end; ++e) shared_tile()[e] += before;
    if (threadIdx.x == blockDim.x - 1) shared_tile()[picks.experts] = before + sum;
    __syncthreads();
    units_ = shared_tile()[picks.experts] * panel_pairs;
  }

  __device__ int units() const { return units_; }

  /// Requires 0 <= u < units().
  __device__ ExpertUnit unit(int u) const {
    const int* tile = shared_tile();
    int low = 0;
    int high = experts_;
    const int at = u / pairs_;
    while (high - low > 1) {
      const int middle = (low + high) / 2;
      if (tile[middle] <= at) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return unit_of(low, u);
  }

  /// The same for who asks in ascending order: `expert` is an earlier unit's, or 0.
  __device__ ExpertUnit unit_after(int expert, int u) const {
    while (shared_tile()[expert + 1] * pairs_ <= u) ++expert;
    return unit_of(expert, u);
  }

 private:
  __device__ ExpertUnit unit_of(int expert, int u) const {
    const int first = shared_first()[expert];
    const int count = shared_first()[expert + 1] - first;
    const int own = u - shared_tile()[expert] * pairs_;
    const int tiles = shared_tile()[expert + 1] - shared_tile()[expert];
    if (tiles == 1) return {.expert = expert, .pick = first, .count = count, .panels = own};
    const int before = own % tiles * most_;
    return {.expert = expert,
            .pick = first + before,
            .count = min(most_, count - before),
            .panels = own / tiles};
  }

  __device__ static int* shared_first() {
    __shared__ int first[kMaxExperts + 1];
    return first;
  }
  /// [experts + 1] tiles of picks before an expert's.
  __device__ static int* shared_tile() {
    __shared__ int tile[kMaxExperts + 1];
    return tile;
  }

  int most_ = 0;
  int pairs_ = 0;
  int experts_ = 0;
  int units_ = 0;
};

}  // namespace thermoe::cuda
