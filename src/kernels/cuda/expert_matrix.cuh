// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/cuda/expert_output.cuh"

// One matrix of every expert that has tokens, times its tokens, where these are few: reading the
// weights is all that takes time. The frame holds for weights of any precision. Tensor cores
// multiply 16 outputs of a panel (the A operand of mma.m16n8k16) by 8 tokens (B). The four warps of
// a block share a unit's inputs, a quarter each; their sums are added in order, so that a token's
// result depends neither on the batch nor on the schedule.
//
// `Weights` is the precision. It has
//   struct Panels;  Panels panels(int expert, int first, int second) const;   a pair of panels
//   struct Stage;   void start(Stage&, const Panels&, int inputs) const;  asks for the warp's first
//   template <int kTiles, int kMost> void multiply(Stage&, const Panels&, const TokenRows<kMost>&,
//       int inputs, float (&sums)[2][kMost][4]) const;              adds its quarter of the inputs
//   template <int kMost> struct Blocks { kResident }                on a multiprocessor
// and leaves sums[m][j] of panel m and tokens 8j..8j+7 as mma's accumulators, where row g of A is
// output 2g of the panel and row g + 8 output 2g + 1: a lane's weights then lie side by side.
namespace thermoe::cuda {

inline constexpr int kWarps = 4;
inline constexpr int kThreads = 32 * kWarps;

/// Rows of the B operand: row[j] is where the lane's token of tile j starts, in elements of `data`.
template <int kMost>
struct TokenRows {
  const __nv_bfloat16* data;
  int stride;  ///< elements of a row that may be read
  unsigned row[kMost];
};

template <class Weights, bool kDown, int kMost>
class ExpertMatrix {
 public:
  __device__ ExpertMatrix(const ExpertMatrixArgs& args, const Weights& weights)
      : a_(args),
        weights_(weights),
        gated_(!kDown && args.kind == ExpertKind::kSwiGlu),
        warp_(static_cast<int>(threadIdx.x) / 32),
        lane_(static_cast<int>(threadIdx.x) % 32) {}

  /// All units of this block. What the kernel before writes is waited for as late as can be: the
  /// down matrices are read while the last activations are still under way. The picks are older.
  __device__ void run() {
    let_next_start();
    if (!kDown) wait_for_previous();
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
    weights_.template multiply<kTiles>(stage_, panels_, rows_, a_.inputs, sums);
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
  const Weights& weights_;
  const bool gated_;
  const int warp_;
  const int lane_;
  ExpertSchedule schedule_;
  ExpertUnit unit_;
  typename Weights::Panels panels_;
  typename Weights::Stage stage_;
  TokenRows<kMost> rows_;
};

template <class Weights, bool kDown, int kMost>
__global__ void __launch_bounds__(kThreads, Weights::template Blocks<kMost>::kResident)
    expert_matrix(const __grid_constant__ ExpertMatrixArgs args,
                  const __grid_constant__ Weights weights) {
  ExpertMatrix<Weights, kDown, kMost>(args, weights).run();
}

}  // namespace thermoe::cuda
