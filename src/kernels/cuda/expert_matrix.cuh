// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/bf16_panels.cuh"
#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/cuda/expert_output.cuh"

// One bf16 matrix of every expert that has tokens, times its tokens, where these are few: reading
// the weights is all that takes time, and as many bytes as registers hold are under way. The four
// warps of a block take a quarter of a unit's inputs each; their sums are added in order, so that a
// token's result depends neither on the batch nor on the schedule.
namespace thermoe::cuda {

inline constexpr int kThreads = 32 * kWarps;

/// Blocks on a multiprocessor with room for so many tiles: as registers allow.
template <int kMost>
inline constexpr int kResidentBlocks = kMost == 1 ? 4 : 3;

/// For units of up to kMost tiles of 8 tokens.
template <bool kDown, int kMost>
class ExpertMatrix {
 public:
  __device__ ExpertMatrix(const ExpertMatrixArgs& args, const Bf16Panels& weights)
      : a_(args),
        weights_(weights),
        gated_(!kDown && args.kind == ExpertKind::kSwiGlu),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  /// All units of this block. What the kernel before writes is waited for as late as can be: the
  /// down matrices are read while the last activations are still under way. The picks are older.
  __device__ void run() {
    if (!kDown) wait_for_previous();
    let_next_start();  // not before: the next one takes the picks for written
    const int panel_pairs = gated_ ? a_.panels : (a_.panels + 1) / 2;
    schedule_.build(a_.picks, kMost * kTileTokens, panel_pairs);
    int u = static_cast<int>(blockIdx.x);
    if (u < schedule_.units()) begin(u);
    if (kDown) wait_for_previous();
    while (u < schedule_.units()) {
      const int tiles = (unit_.count + kTileTokens - 1) / kTileTokens;
      const int next = u + static_cast<int>(gridDim.x);
      if (kMost == 1 || tiles == 1) {
        work<1>(next);
      } else if (kMost == 2 || tiles == 2) {
        work<(kMost < 2 ? kMost : 2)>(next);
      } else {
        work<(kMost < 4 ? kMost : 4)>(next);
      }
      u = next;
    }
  }

 private:
  /// Makes u the unit under way and asks for its first weights and its rows.
  __device__ void begin(int u) {
    unit_ = schedule_.unit(u);
    const int first = gated_ ? unit_.panels : 2 * unit_.panels;
    const bool alone = gated_ || first + 1 == a_.panels;
    panels_ = weights_.panels(unit_.expert, first, alone ? first : first + 1);
    weights_.start(stage_, panels_, a_.inputs);
    rows_.data = a_.rows;
    rows_.stride = a_.stride;
#pragma unroll
    for (int j = 0; j < kMost; ++j) {
      // Columns beyond the last token repeat it; nobody reads their sums.
      const int place = unit_.pick + min(j * kTileTokens + lane_ / 4, unit_.count - 1);
      rows_.row[j] = row_of<kDown>(a_, place) * static_cast<unsigned>(a_.stride);
    }
  }

  /// The unit under way, of at most kTiles tiles; then begins the next one.
  template <int kTiles>
  __device__ void work(int next) {
    float sums[2][kMost][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[m][j][i] = 0.0F;
      }
    }
    weights_.multiply<kTiles>(stage_, panels_, rows_, a_.inputs, sums);
    const ExpertUnit done = unit_;
    if (next < schedule_.units()) begin(next);
    __syncthreads();  // the sums of the unit before are read
#pragma unroll
    for (int m = 0; m < 2; ++m) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
#pragma unroll
        for (int i = 0; i < 4; ++i) partial(warp_, m, j, i) = sums[m][j][i];
      }
    }
    __syncthreads();
    // A pair of outputs of one token a time; each warp takes every fourth.
    constexpr int kPairs = kTiles * 2;
    for (int p = warp_; p < (gated_ ? kPairs : 2 * kPairs); p += kWarps) {
      finish(done, p / kPairs, p % kPairs / 2, p % 2);
    }
  }

  /// Accumulators `half` and `half` + 2 of tile j: outputs 2g and 2g + 1 of one token. Of panel m,
  /// or of gate and up.
  __device__ void finish(const ExpertUnit& unit, int m, int j, int half) {
    const int token = j * kTileTokens + lane_ % 4 * 2 + half;
    const int panel = gated_ ? unit.panels : 2 * unit.panels + m;
    if (token >= unit.count || panel >= a_.panels) return;
    float2 gate{0.0F, 0.0F};
    if (gated_) gate = {total(0, j, half), total(0, j, half + 2)};
    const int up = gated_ ? 1 : m;
    store_outputs<kDown>(a_, unit.expert, unit.pick + token, panel * kPanel + lane_ / 4 * 2, gate,
                         {total(up, j, half), total(up, j, half + 2)});
  }

  /// A lane's sum of accumulator i, over the warps in order.
  __device__ float total(int m, int j, int i) {
    float sum = partial(0, m, j, i);
#pragma unroll
    for (int w = 1; w < kWarps; ++w) sum += partial(w, m, j, i);
    return sum;
  }
  __device__ float& partial(int warp, int m, int j, int i) {
    __shared__ float sums[kWarps][2][kMost][4][32];
    return sums[warp][m][j][i][lane_];
  }

  const ExpertMatrixArgs& a_;
  const Bf16Panels& weights_;
  const bool gated_;
  const int warp_;
  const int lane_;
  ExpertSchedule schedule_;
  ExpertUnit unit_;
  Bf16Panels::Panels panels_;
  Bf16Panels::Stage stage_;
  TokenRows<kMost> rows_;
};

template <bool kDown, int kMost>
__global__ void __launch_bounds__(kThreads, kResidentBlocks<kMost>)
    expert_matrix(const __grid_constant__ ExpertMatrixArgs args,
                  const __grid_constant__ Bf16Panels weights) {
  ExpertMatrix<kDown, kMost>(args, weights).run();
}

}  // namespace thermoe::cuda
