// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/bf16_panels.cuh"
#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/cuda/expert_output.cuh"

// One bf16 matrix of every expert times its tokens, where these are many: arithmetic takes the
// time. A block multiplies 8 panels by 128 tokens, both by way of shared memory, 64 inputs a stage;
// a warp multiplies 2 panels by 64 tokens. Inputs are summed as the narrow kernel sums them
// (quarter by quarter, each from zero), so that a token's result does not depend on the size of its
// batch.
namespace thermoe::cuda {

struct WideTile {
  static constexpr int kWarps = 8;
  static constexpr int kThreads = 32 * kWarps;
  static constexpr int kTokens = 128;
  static constexpr int kPanels = 8;
  static constexpr int kStages = 4;
  static constexpr int kQuarters = 4;
  static constexpr int kTiles = 8;          // of 8 tokens, a warp's
  static constexpr int kRowBytes = 128;     // 64 inputs of a token
  static constexpr int kPanelBytes = 2048;  // 64 inputs of a panel
  static constexpr int kRowsBytes = kTokens * kRowBytes;
  static constexpr int kStageBytes = kRowsBytes + kPanels * kPanelBytes;
  static constexpr std::size_t kSharedBytes = std::size_t{kStages} * kStageBytes;
};

/// 16 bytes to shared memory, zeros where there is nothing to read.
__device__ inline void copy_16(std::uint32_t shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
template <class Words>
__device__ inline Words load_shared(std::uint32_t from);
template <>
__device__ inline uint2 load_shared<uint2>(std::uint32_t from) {
  uint2 words;
  asm volatile("ld.shared.v2.u32 {%0,%1}, [%2];" : "=r"(words.x), "=r"(words.y) : "r"(from));
  return words;
}
template <>
__device__ inline uint4 load_shared<uint4>(std::uint32_t from) {
  uint4 words;
  asm volatile("ld.shared.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "r"(from));
  return words;
}

template <bool kDown>
class WideExpertMatrix : WideTile {
 public:
  __device__ WideExpertMatrix(const ExpertMatrixArgs& args, const Bf16Panels& weights,
                              std::uint32_t shared)
      : a_(args),
        weights_(weights),
        shared_(shared),
        gated_(!kDown && args.kind == ExpertKind::kSwiGlu),
        words_((args.inputs + 1) / 2),
        chunks_((words_ + Bf16Panels::kChunkWords - 1) / Bf16Panels::kChunkWords),
        thread_(static_cast<int>(threadIdx.x)),
        lane_(thread_ % 32),
        tokens_(thread_ / 32 / 4 * 64),
        pair_(thread_ / 32 % 4) {}

  __device__ void run() {
    wait_for_previous();
    let_next_start();
    const int pairs = gated_ ? a_.panels : (a_.panels + 1) / 2;
    schedule_.build(a_.picks, kTokens, (pairs + kPanels / 2 - 1) / (kPanels / 2));
    asked_ = static_cast<int>(blockIdx.x);
    if (asked_ < schedule_.units()) begin_asking();
    for (int i = 0; i < kStages - 1; ++i) ask(i);
    int stage = 0;
    for (int u = static_cast<int>(blockIdx.x); u < schedule_.units(); u += gridDim.x) {
      const ExpertUnit unit = schedule_.unit(u);
      float totals[2][kTiles][4];
      float sums[2][kTiles][4];
      clear(totals);
      const int each = (chunks_ + kQuarters - 1) / kQuarters;
      for (int q = 0; q < kQuarters; ++q) {
        clear(sums);
        const int end = min((q + 1) * each, chunks_);
#pragma unroll 1
        for (int c = q * each; c < end; ++c) {
          asm volatile("cp.async.wait_group %0;" ::"n"(kStages - 2) : "memory");
          __syncthreads();
          ask((stage + kStages - 1) % kStages);
          if (tokens_ < unit.count) multiply(stage, sums);
          stage = (stage + 1) % kStages;
        }
        // The first quarter's sums as they are: 0 + x is x but for the sign of zero.
        add(q == 0, sums, totals);
      }
      finish(unit, totals);
    }
  }

 private:
  __device__ static void clear(float (&sums)[2][kTiles][4]) {
#pragma unroll
    for (int i = 0; i < 8 * kTiles; ++i) sums[i / (4 * kTiles)][i / 4 % kTiles][i % 4] = 0.0F;
  }
  __device__ static void add(bool first, const float (&sums)[2][kTiles][4],
                             float (&totals)[2][kTiles][4]) {
#pragma unroll
    for (int i = 0; i < 8 * kTiles; ++i) {
      float& total = totals[i / (4 * kTiles)][i / 4 % kTiles][i % 4];
      const float sum = sums[i / (4 * kTiles)][i / 4 % kTiles][i % 4];
      total = first ? sum : total + sum;
    }
  }

  /// Where this thread finds its share of the unit that is asked for: 16 bytes of four tokens'
  /// rows, and four times 16 bytes of its warp's panel.
  __device__ void begin_asking() {
    const ExpertUnit unit = schedule_.unit(asked_);
    chunk_ = 0;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int place = unit.pick + min(thread_ / 8 + 32 * i, unit.count - 1);
      row_[i] = row_of<kDown>(a_, place) * static_cast<unsigned>(a_.stride);
    }
    const int own = thread_ / 32;
    const int panel = unit.panels * (gated_ ? kPanels / 2 : kPanels) + (gated_ ? own / 2 : own);
    const PanelMatrices<std::uint32_t>& matrix = weights_.matrix[gated_ ? own % 2 : 0];
    panel_ = matrix.first + matrix.stride * unit.expert +
             static_cast<std::ptrdiff_t>(min(panel, a_.panels - 1)) * weights_.words_a_panel +
             lane_ * 4;
  }

  /// Asks for the next chunk, of this unit or another, if there is one.
  __device__ void ask(int stage) {
    if (asked_ < schedule_.units()) {
      const std::uint32_t at = shared_ + static_cast<std::uint32_t>(stage * kStageBytes);
      const int piece = thread_ % 8;
      const int input = chunk_ * 64 + piece * 8;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int row = thread_ / 8 + 32 * i;
        copy_16(at + row * kRowBytes + (piece ^ (row & 1) * 4) * 16, a_.rows + row_[i] + input,
                input < a_.stride);
      }
      const std::uint32_t panel = at + kRowsBytes + thread_ / 32 * kPanelBytes;
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int word = lane_ / 4 + 8 * i;  // of the chunk
        const int place = ((word & 1) * 4 + lane_ % 4) ^ (word / 4 % 4 * 2);
        copy_16(panel + word / 2 * 128 + place * 16,
                panel_ + (chunk_ * Bf16Panels::kChunkWords + 8 * i) * kPanel,
                chunk_ * Bf16Panels::kChunkWords + word < words_);
      }
      if (++chunk_ == chunks_) {
        asked_ += static_cast<int>(gridDim.x);
        if (asked_ < schedule_.units()) begin_asking();
      }
    }
    asm volatile("cp.async.commit_group;" ::: "memory");
  }

  /// One chunk: the warp's two panels by its 64 tokens. Lane group t takes words 4t..4t+3 of each
  /// half, as in Bf16Panels.
  __device__ void multiply(int stage, float (&sums)[2][kTiles][4]) const {
    const std::uint32_t at = shared_ + static_cast<std::uint32_t>(stage * kStageBytes);
    const int g = lane_ / 4;
    const int t = lane_ % 4;
    const std::uint32_t panels = at + kRowsBytes + pair_ * 2 * kPanelBytes + t * 256 + g % 2 * 8;
    const std::uint32_t even = panels + ((g / 2) ^ (2 * t)) * 16;
    const std::uint32_t odd = panels + ((g / 2) ^ (2 * t) ^ 4) * 16;
    const std::uint32_t rows = at + (tokens_ + g) * kRowBytes;
#pragma unroll
    for (int h = 0; h < 2; ++h) {
      uint2 a[2][4];
#pragma unroll
      for (int m = 0; m < 2; ++m) {
#pragma unroll
        for (int i = 0; i < 4; ++i) {
          a[m][i] = load_shared<uint2>((i % 2 == 0 ? even : odd) + m * kPanelBytes + h * 1024 +
                                       i / 2 * 128);
        }
      }
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const auto x =
            load_shared<uint4>(rows + j * 8 * kRowBytes + (((h * 4 + t) ^ (g % 2 * 4)) * 16));
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          mma_bf16(sums[m][j], a[m][0], a[m][1], x.x, x.y);
          mma_bf16(sums[m][j], a[m][2], a[m][3], x.z, x.w);
        }
      }
    }
  }

  __device__ void finish(const ExpertUnit& unit, const float (&totals)[2][kTiles][4]) const {
    const int pair = unit.panels * (kPanels / 2) + pair_;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const int token = tokens_ + j * kTileTokens + lane_ % 4 * 2 + half;
        if (token >= unit.count) continue;
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          const int panel = gated_ ? pair : 2 * pair + m;
          if ((gated_ && m == 0) || panel >= a_.panels) continue;
          store_outputs<kDown>(a_, unit.expert, unit.pick + token, panel * kPanel + lane_ / 4 * 2,
                               {totals[0][j][half], totals[0][j][half + 2]},
                               {totals[m][j][half], totals[m][j][half + 2]});
        }
      }
    }
  }

  const ExpertMatrixArgs& a_;
  const Bf16Panels& weights_;
  const std::uint32_t shared_;
  const bool gated_;
  const int words_;
  const int chunks_;
  const int thread_;
  const int lane_;
  const int tokens_;  // the warp's first of the tile
  const int pair_;    // of panels, the warp's
  ExpertSchedule schedule_;
  int asked_ = 0;  // unit that is asked for
  int chunk_ = 0;  // of it
  unsigned row_[4]{};
  const std::uint32_t* panel_ = nullptr;
};

template <bool kDown>
__global__ void __launch_bounds__(WideTile::kThreads, 1)
    wide_expert_matrix(const __grid_constant__ ExpertMatrixArgs args,
                       const __grid_constant__ Bf16Panels weights) {
  extern __shared__ uint4 stages[];
  const auto shared = static_cast<std::uint32_t>(__cvta_generic_to_shared(stages));
  WideExpertMatrix<kDown>(args, weights, shared).run();
}

}  // namespace thermoe::cuda
