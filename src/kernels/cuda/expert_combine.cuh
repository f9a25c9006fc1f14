// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/topk_route.h"

// Before and after the matrices: a token's row as bf16, and the sum over its experts.
namespace thermoe::cuda {
namespace {

__device__ inline float load_as(FloatType type, const void* array, std::ptrdiff_t i) {
  switch (type) {
    case FloatType::kF32:
      return static_cast<const float*>(array)[i];
    case FloatType::kBf16:
      return __bfloat162float(static_cast<const __nv_bfloat16*>(array)[i]);
    case FloatType::kF16:
      return __half2float(static_cast<const __half*>(array)[i]);
  }
  return 0.0F;
}

/// rows [tokens, width] rounded to bf16, each padded with zeros to `padded`.
__global__ void round_rows(FloatType type, const void* rows, int tokens, int width, int padded,
                           __nv_bfloat16* out) {
  let_next_start();
  wait_for_previous();
  const std::int64_t cells = std::int64_t{tokens} * padded;
  for (std::int64_t i = blockIdx.x * std::int64_t{blockDim.x} + threadIdx.x; i < cells;
       i += std::int64_t{gridDim.x} * blockDim.x) {
    const int column = static_cast<int>(i % padded);
    const float value = column < width ? load_as(type, rows, i / padded * width + column) : 0.0F;
    out[i] = __float2bfloat16_rn(value);
  }
}

constexpr int kCombineThreads = 128;

/// out[t] = sum of weight * part over t's picks in order of expert id; a block a token and run of
/// columns. parts [tokens * slots, padded].
__global__ void __launch_bounds__(kCombineThreads)
    combine(const float* parts, int padded, const std::int32_t* expert, const float* weight,
            int slots, int d_model, FloatType type, void* out) {
  __shared__ int order[kMaxExperts];
  __shared__ int picks;
  let_next_start();
  const auto token = static_cast<std::ptrdiff_t>(blockIdx.x);
  const std::int32_t* ids = expert + token * slots;
  if (threadIdx.x == 0) picks = 0;
  __syncthreads();
  for (int s = static_cast<int>(threadIdx.x); s < slots; s += kCombineThreads) {
    if (ids[s] < 0) continue;
    int rank = 0;
    for (int other = 0; other < slots; ++other) {
      rank += ids[other] >= 0 && (ids[other] < ids[s] || (ids[other] == ids[s] && other < s));
    }
    order[rank] = s;
    atomicAdd(&picks, 1);
  }
  __syncthreads();
  wait_for_previous();
  const int column = static_cast<int>(blockIdx.y * kCombineThreads + threadIdx.x) * 4;
  if (column >= d_model) return;
  float4 sum{0.0F, 0.0F, 0.0F, 0.0F};
  const int count = picks;
#pragma unroll 8
  for (int i = 0; i < count; ++i) {
    const std::ptrdiff_t pair = token * slots + order[i];
    const float w = weight[pair];
    const float4 part = *reinterpret_cast<const float4*>(parts + pair * padded + column);
    sum.x = __fmaf_rn(w, part.x, sum.x);
    sum.y = __fmaf_rn(w, part.y, sum.y);
    sum.z = __fmaf_rn(w, part.z, sum.z);
    sum.w = __fmaf_rn(w, part.w, sum.w);
  }
  const float values[] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if (column + i < d_model) store_as(type, out, token * d_model + column + i, values[i]);
  }
}

}  // namespace
}  // namespace thermoe::cuda
