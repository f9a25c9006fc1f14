// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>

#include <cstddef>

#include "kernels/cuda/activations.cuh"
#include "kernels/cuda/expert_schedule.cuh"
#include "kernels/expert_bank_view.h"

// What becomes of a matrix's sums.
namespace thermoe::cuda {

inline constexpr int kPanel = 16;
inline constexpr int kTileTokens = 8;

/// One launch: the hidden matrices (gate and up, or fc1) or the down ones.
struct ExpertMatrixArgs {
  ExpertPicks picks{};
  ExpertKind kind{};
  int inputs = 0;
  int panels = 0;                       ///< of an expert's outputs
  const __nv_bfloat16* rows = nullptr;  ///< hidden: [tokens, stride]; down: [picks, stride], in the
  int stride = 0;                       ///< expert order; a multiple of 8
  int slots = 0;
  const float* bias = nullptr;  ///< [experts, 16 panels] or null
  void* out = nullptr;  ///< [picks, 16 panels]: hidden: bf16, in the expert order; down: f32, by
                        ///< token and slot
};

__device__ inline float activation(ExpertKind kind, float gate, float up) {
  if (kind == ExpertKind::kSwiGlu) return silu(gate) * up;
  return apply(kind == ExpertKind::kRelu ? Epilogue::kRelu : Epilogue::kGelu, up);
}

/// The row of `rows` that the pick at this place of the expert order reads.
template <bool kDown>
__device__ inline unsigned row_of(const ExpertMatrixArgs& a, int place) {
  return static_cast<unsigned>(kDown ? place : a.picks.pair[place] / a.slots);
}

/// Stores outputs `output` and `output` + 1 (an even number) of an expert and the pick at `place`:
/// activations of a hidden matrix, of gate and up where the kind has a gate, else of `up`; or
/// what a down matrix gives, in `up`.
template <bool kDown>
__device__ inline void store_outputs(const ExpertMatrixArgs& a, int expert, int place, int output,
                                     float2 gate, float2 up) {
  const int width = a.panels * kPanel;
  if (a.bias) {
    const float* bias = a.bias + static_cast<std::ptrdiff_t>(expert) * width + output;
    up.x += bias[0];
    up.y += bias[1];
  }
  if constexpr (kDown) {
    const std::ptrdiff_t pair = a.picks.pair[place];
    *reinterpret_cast<float2*>(static_cast<float*>(a.out) + pair * width + output) = up;
  } else {
    auto* out = static_cast<__nv_bfloat16*>(a.out) + static_cast<std::ptrdiff_t>(place) * width;
    *reinterpret_cast<__nv_bfloat162*>(out + output) =
        __floats2bfloat162_rn(activation(a.kind, gate.x, up.x), activation(a.kind, gate.y, up.y));
  }
}

}  // namespace thermoe::cuda
