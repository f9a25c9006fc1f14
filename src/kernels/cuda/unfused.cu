// SPDX-License-Identifier: Apache-2.0
#include <cuda_bf16.h>

#include <algorithm>

#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"

namespace thermoe::cuda {
namespace {

constexpr int kThreads = 256;
constexpr int kMostBlocks = 2112;  // 16 an SM of an H100

__device__ float widened(float x) { return x; }
__device__ float widened(__nv_bfloat16 x) { return __bfloat162float(x); }
__device__ void put(float& to, float value) { to = value; }
__device__ void put(__nv_bfloat16& to, float value) { to = __float2bfloat16_rn(value); }

template <class T>
__global__ void activate(ExpertKind kind, const T* gate, const T* up, T* out, std::size_t cells) {
  const std::size_t stride = static_cast<std::size_t>(gridDim.x) * kThreads;
  for (std::size_t i = static_cast<std::size_t>(blockIdx.x) * kThreads + threadIdx.x; i < cells;
       i += stride) {
    const float y = widened(up[i]);
    switch (kind) {
      case ExpertKind::kSwiGlu:
        put(out[i], silu(widened(gate[i])) * y);
        break;
      case ExpertKind::kRelu:
        put(out[i], fmaxf(y, 0.0F));
        break;
      case ExpertKind::kGelu:
        put(out[i], gelu(y));
        break;
    }
  }
}

template <class T>
void launch_activate(const ExpertActivationArgs& args, Stream stream) {
  const auto cells = static_cast<std::size_t>(args.tokens) * static_cast<std::size_t>(args.width);
  const std::size_t blocks = std::min<std::size_t>((cells + kThreads - 1) / kThreads, kMostBlocks);
  activate<T><<<static_cast<unsigned>(blocks), kThreads, 0, native(stream)>>>(
      args.kind, static_cast<const T*>(args.gate), static_cast<const T*>(args.up),
      static_cast<T*>(args.out), cells);
}

/// A block unpacks 16 outputs (a panel) of 16 words: it reads whole lines, and each thread writes
/// the 16 bytes of its word.
__global__ void unpack(Int4View w, __nv_bfloat16* out) {
  const int lane = static_cast<int>(threadIdx.x) % Int4View::kPanel;
  const int word = static_cast<int>(blockIdx.x) * (kThreads / Int4View::kPanel) +
                   static_cast<int>(threadIdx.x) / Int4View::kPanel;
  const int panel = static_cast<int>(blockIdx.y);
  const int words = w.inputs / Int4View::kPerWord;
  const int output = panel * Int4View::kPanel + lane;
  if (word >= words || output >= w.outputs) return;
  const int group = word * Int4View::kPerWord / w.group;
  const std::ptrdiff_t cell =
      (static_cast<std::ptrdiff_t>(panel) * (w.inputs / w.group) + group) * Int4View::kPanel + lane;
  const float zero = w.zero_points ? static_cast<float>(w.zero_points[cell]) : 8.0F;
  const float scale = w.scales[cell];
  const std::uint32_t bits =
      w.words[(static_cast<std::ptrdiff_t>(panel) * words + word) * Int4View::kPanel + lane];
  alignas(16) __nv_bfloat162 pairs[4];
  for (int i = 0; i < 4; ++i) {
    const auto low = static_cast<float>(bits >> (8 * i) & 15U);
    const auto high = static_cast<float>(bits >> (8 * i + 4) & 15U);
    pairs[i] = __floats2bfloat162_rn(scale * (low - zero), scale * (high - zero));
  }
  auto* to = out + static_cast<std::ptrdiff_t>(output) * w.inputs + word * Int4View::kPerWord;
  *reinterpret_cast<uint4*>(to) = *reinterpret_cast<const uint4*>(pairs);
}

}  // namespace

void expert_activation(const ExpertActivationArgs& args, Stream stream) {
  if (args.type == FloatType::kF32) {
    launch_activate<float>(args, stream);
  } else {
    launch_activate<__nv_bfloat16>(args, stream);
  }
  check_launch("expert_activation");
}

void dequant_unpack(const DequantUnpackArgs& args, Stream stream) {
  const int words = args.weights.inputs / Int4View::kPerWord;
  constexpr int kWords = kThreads / Int4View::kPanel;
  const dim3 blocks(static_cast<unsigned>((words + kWords - 1) / kWords),
                    static_cast<unsigned>(args.weights.panels()));
  unpack<<<blocks, kThreads, 0, native(stream)>>>(args.weights,
                                                  static_cast<__nv_bfloat16*>(args.out));
  check_launch("dequant_unpack");
}

}  // namespace thermoe::cuda
