// SPDX-License-Identifier: Apache-2.0
#include "kernels/permute_combine.h"

#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"

// A warp a row, 16 bytes a lane where rows allow it. All of these only move memory.
namespace thermoe::cuda {
namespace {

constexpr int kWarp = 32;
constexpr int kWarps = 8;  // a block

__device__ float widened(float value) { return value; }
__device__ float widened(__nv_bfloat16 value) { return __bfloat162float(value); }
__device__ void narrow(float& to, float value) { to = value; }
__device__ void narrow(__nv_bfloat16& to, float value) { to = __float2bfloat16_rn(value); }

/// N neighbours of a row, moved as one.
template <class T, int N>
struct alignas(sizeof(T) * N) Piece {
  T at[N];
};

template <class T, int N>
__device__ Piece<T, N> load(const T* from) {
  return *reinterpret_cast<const Piece<T, N>*>(from);
}
template <class T, int N>
__device__ void store(T* to, const Piece<T, N>& piece) {
  *reinterpret_cast<Piece<T, N>*>(to) = piece;
}

template <class T, int N>
__device__ void clear_row(T* row, int width) {
  for (int i = threadIdx.x * N; i < width; i += kWarp * N) store(row + i, Piece<T, N>{});
}

__device__ int warp_index() { return blockIdx.x * kWarps + threadIdx.y; }

/// Warp r fills row r and says where pick r went if it went nowhere: no two write the same place.
template <class T, int N>
__global__ void permute_rows(PermuteArgs a) {
  const int r = warp_index();
  if (r >= a.tokens * a.slots) return;
  const auto width = static_cast<std::int64_t>(a.width);
  T* row = static_cast<T*>(a.rows) + r * width;
  if (threadIdx.x == 0 && (a.expert[r] < 0 || a.expert[r] >= a.experts)) a.row[r] = -1;
  if (r >= a.order.first[a.experts]) return clear_row<T, N>(row, a.width);
  const int pick = a.order.pair[r];
  if (threadIdx.x == 0) a.row[pick] = r;
  const T* x = static_cast<const T*>(a.x) + pick / a.slots * width;
  for (int i = threadIdx.x * N; i < a.width; i += kWarp * N) store(row + i, load<T, N>(x + i));
}

/// Warp t of each column of blocks has a part of row t: a row's sum is one load after the other.
template <class T, int N>
__global__ void combine_rows(CombineArgs a) {
  const int t = warp_index();
  if (t >= a.tokens) return;
  const auto width = static_cast<std::int64_t>(a.width);
  const int first = t * a.slots;
  const int columns = gridDim.y * kWarp * N;
  for (int i = (blockIdx.y * kWarp + threadIdx.x) * N; i < a.width; i += columns) {
    float sum[N] = {};
    for (int pick = first; pick < first + a.slots; ++pick) {
      const int row = a.row[pick];
      if (row < 0) continue;
      const float weight = a.weight ? a.weight[pick] : 1.0F;
      const auto piece = load<T, N>(static_cast<const T*>(a.rows) + row * width + i);
#pragma unroll
      for (int j = 0; j < N; ++j) sum[j] += weight * widened(piece.at[j]);
    }
    Piece<T, N> out;
#pragma unroll
    for (int j = 0; j < N; ++j) narrow(out.at[j], sum[j]);
    store(static_cast<T*>(a.out) + t * width + i, out);
  }
}

/// Warp p serves pick p, and clears row p if no pick fills it.
template <class T, int N>
__global__ void combine_rows_backward(CombineBackwardArgs a) {
  const int pick = warp_index();
  if (pick >= a.tokens * a.slots) return;
  const auto width = static_cast<std::int64_t>(a.width);
  T* grad_rows = static_cast<T*>(a.grad_rows);
  if (pick >= *a.filled) clear_row<T, N>(grad_rows + pick * width, a.width);
  const int row = a.row[pick];
  float dot = 0.0F;
  if (row >= 0) {
    const float weight = a.weight[pick];
    const T* grad_out = static_cast<const T*>(a.grad_out) + pick / a.slots * width;
    const T* out = static_cast<const T*>(a.rows) + row * width;
    for (int i = threadIdx.x * N; i < a.width; i += kWarp * N) {
      const auto grad = load<T, N>(grad_out + i);
      const auto value = load<T, N>(out + i);
      Piece<T, N> scaled;
#pragma unroll
      for (int j = 0; j < N; ++j) {
        const float g = widened(grad.at[j]);
        dot = __fmaf_rn(widened(value.at[j]), g, dot);
        narrow(scaled.at[j], weight * g);
      }
      store(grad_rows + row * width + i, scaled);
    }
  }
  for (int lane = kWarp / 2; lane > 0; lane /= 2) dot += __shfl_xor_sync(~0U, dot, lane);
  if (threadIdx.x == 0) a.grad_weight[pick] = dot;
}

/// Whether rows of so many bytes at these addresses can be moved 16 bytes at a time.
template <class... Pointers>
bool in_sixteens(std::size_t row_bytes, Pointers... pointers) {
  return ((row_bytes | ... | reinterpret_cast<std::uintptr_t>(pointers)) & 15U) == 0;
}

template <class Args>
void launch(void (*kernel)(Args), const Args& args, int warps, Stream stream, const char* name,
            int parts = 1) {
  const dim3 grid((warps + kWarps - 1) / kWarps, parts);
  const dim3 block(kWarp, kWarps);
  kernel<<<grid, block, 0, native(stream)>>>(args);
  check_launch(name);
}

}  // namespace

void permute(const PermuteArgs& a, Stream stream) {
  const bool f32 = a.type == FloatType::kF32;
  const bool wide = in_sixteens(a.width * (f32 ? 4ULL : 2ULL), a.x, a.rows);
  const auto kernel =
      f32 ? (wide ? permute_rows<float, 4> : permute_rows<float, 1>)
          : (wide ? permute_rows<__nv_bfloat16, 8> : permute_rows<__nv_bfloat16, 1>);
  launch(kernel, a, a.tokens * a.slots, stream, "permute");
}

void combine(const CombineArgs& a, Stream stream) {
  const bool f32 = a.type == FloatType::kF32;
  const bool wide = in_sixteens(a.width * (f32 ? 4ULL : 2ULL), a.rows, a.out);
  const auto kernel =
      f32 ? (wide ? combine_rows<float, 4> : combine_rows<float, 1>)
          : (wide ? combine_rows<__nv_bfloat16, 8> : combine_rows<__nv_bfloat16, 1>);
  const int piece = kWarp * (!wide ? 1 : f32 ? 4 : 8);
  const int parts = std::clamp((a.width + piece - 1) / piece, 1, 8);
  launch(kernel, a, a.tokens, stream, "combine", parts);
}

void combine_backward(const CombineBackwardArgs& a, Stream stream) {
  const bool f32 = a.type == FloatType::kF32;
  const bool wide = in_sixteens(a.width * (f32 ? 4ULL : 2ULL), a.grad_out, a.rows, a.grad_rows);
  const auto kernel =
      f32 ? (wide ? combine_rows_backward<float, 4> : combine_rows_backward<float, 1>)
          : (wide ? combine_rows_backward<__nv_bfloat16, 8>
                  : combine_rows_backward<__nv_bfloat16, 1>);
  launch(kernel, a, a.tokens * a.slots, stream, "combine_backward");
}

}  // namespace thermoe::cuda
