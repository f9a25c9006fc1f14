// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

// The warps that share a panel ("slices" of its inputs) add up their sums by way of shared memory,
// in order.
namespace thermoe::cuda {

/// Floats from one token's sums of a panel to the next: 16 outputs, and room against bank
/// conflicts.
inline constexpr int kSumsRow = 20;

/// Waits for the warps that share a panel, `column` of the block. (Barrier 0 is the whole block's;
/// there are 15 others, and at most 8 columns of several warps.)
__device__ inline void sync_slices(int column, int slices) {
  if (slices == 1) {
    __syncwarp();
  } else {
    asm volatile("bar.sync %0, %1;" ::"r"(column + 1), "r"(slices * 32) : "memory");
  }
}

/// A warp's sums of a panel, as mma leaves them, to [8 * kTiles tokens][kSumsRow].
template <int kTiles>
__device__ inline void store_sums(float* to, const float (&sums)[kTiles][4], int lane) {
  const int g = lane / 4;
  const int t = lane % 4;
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
    float* row = to + (8 * j + 2 * t) * kSumsRow + 2 * g;
    *reinterpret_cast<float2*>(row) = {sums[j][0], sums[j][2]};
    *reinterpret_cast<float2*>(row + kSumsRow) = {sums[j][1], sums[j][3]};
  }
}

}  // namespace thermoe::cuda
