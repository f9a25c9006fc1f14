// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/cuda/dependent_launch.cuh"
#include "kernels/cuda/expert_output.cuh"
#include "kernels/cuda/int4_sums.cuh"
#include "kernels/cuda/int4_unit.cuh"

// One int4 matrix of every expert that has tokens (gate and up count as one), times its tokens. A
// warp works off units of its own, a panel of one expert and its tokens, and needs no other warp:
// it streams the weights through a ring in shared memory, reading ahead into its next units.
namespace thermoe::cuda {

/// What one launch multiplies: (gate, up), or one matrix.
template <int kMatrices>
struct Int4ExpertsCall {
  ExpertMatrixArgs args{};
  Int4Matrix weights[kMatrices]{};
  int octet_stride = 0;  // octets and groups from one expert's matrix to the next
  int group_stride = 0;
  int slices = 1;  // at most the block's warps

  __host__ __device__ int octets() const { return args.inputs / 8; }
};

/// A block's shared memory. It is more than half of a multiprocessor's: where two blocks have room
/// there, those of a launch gather on some and leave others idle.
template <int kGroup, int kMatrices, int kMost>
struct Int4ExpertsShared {
  // Few enough for their registers.
  static constexpr int kMostWarps = kMatrices * kMost >= 4 ? 12 : 16;
  static constexpr int kStages = kMatrices == 1 ? 6 : 3;  // in a warp's ring
  static constexpr int kStage = kMatrices * Int4Unit<kGroup>::kBytes;
  static constexpr int kMatrixSums = kTileTokens * kMost * kSumsRow;  // floats
  static constexpr int kSums = kMatrices * kMatrixSums;
  static constexpr int kWarpSums = kSums * static_cast<int>(sizeof(float));
  static constexpr int kWarp = kStages * kStage + kWarpSums;
};

template <int kGroup, int kMatrices, bool kDown, int kMost>
class Int4Experts {
 public:
  using Call = Int4ExpertsCall<kMatrices>;
  using Shared = Int4ExpertsShared<kGroup, kMatrices, kMost>;
  using Unit = Int4Unit<kGroup>;

  __device__ Int4Experts(const Call& call, std::byte* shared)
      : call_(call),
        a_(call.args),
        lane_(static_cast<int>(threadIdx.x) % 32),
        slice_(static_cast<int>(threadIdx.x) / 32 % call.slices),
        column_(static_cast<int>(threadIdx.x) / 32 / call.slices),
        columns_(static_cast<int>(blockDim.x) / 32 / call.slices),
        sums_(reinterpret_cast<float*>(shared) + column_ * call.slices * Shared::kSums),
        ring_(shared + blockDim.x / 32 * Shared::kWarpSums +
              threadIdx.x / 32 * (Shared::kStages * Shared::kStage)),
        ring_address_(shared_address(ring_)) {}

  /// The picks are older than what the kernel before this one writes: of the down matrices weights
  /// are asked for while that kernel still runs.
  __device__ void run() {
    if (!kDown) wait_for_previous();
    schedule_.build(a_.picks, kMost * kTileTokens, a_.panels);
    // A range of units for each block, so that all multiprocessors read the same number of bytes.
    const auto units = static_cast<std::int64_t>(schedule_.units());
    int u = static_cast<int>(units * blockIdx.x / gridDim.x) + column_;
    end_ = static_cast<int>(units * (blockIdx.x + 1) / gridDim.x);
    next_ = column_ < columns_ ? u : end_;
    if (next_ < end_) next_expert_ = schedule_.unit(next_).expert;
    const int first_expert = next_expert_;
    start_panel();
    for (int s = 0; s < Shared::kStages - 1; ++s) request(s);
    if (kDown) wait_for_previous();
    let_next_start();
    if (column_ >= columns_) return;
    for (int expert = first_expert; u < end_; u += columns_) {
      const ExpertUnit unit = schedule_.unit_after(expert, u);
      expert = unit.expert;
      const int tiles = (unit.count + kTileTokens - 1) / kTileTokens;
      if (kMost == 1 || tiles == 1) {
        work<1>(unit);
      } else if (kMost == 2 || tiles == 2) {
        work<(kMost < 2 ? kMost : 2)>(unit);
      } else {
        work<kMost>(unit);
      }
    }
  }

 private:
  /// Where unit `next_` has its weights, of this slice.
  __device__ void start_panel() {
    if (next_ >= end_) return;
    const ExpertUnit unit = schedule_.unit_after(next_expert_, next_);
    next_expert_ = unit.expert;
    const int first = slice_ * Unit::kOctets;
    const int octet = unit.panels * call_.octets() + first;
    place_ = {unit.expert * call_.octet_stride + octet,
              unit.expert * call_.group_stride + octet / (kGroup / 8), call_.octets() - first};
  }

  __device__ void request(int stage) {
    if (next_ < end_) {
#pragma unroll
      for (int m = 0; m < kMatrices; ++m) {
        Unit::request(ring_address_ + stage * Shared::kStage + m * Unit::kBytes, call_.weights[m],
                      place_, lane_);
      }
      place_.octet += call_.slices * Unit::kOctets;
      place_.group += call_.slices * Unit::kGroups;
      place_.octets_left -= call_.slices * Unit::kOctets;
      if (place_.octets_left <= 0) {
        next_ += columns_;
        start_panel();
      }
    }
    commit_copies();
  }

  template <int kTiles>
  __device__ void work(const ExpertUnit& unit) {
    const uint4* row[kTiles];
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      // Columns beyond the last token repeat it; nobody reads their sums.
      const int place = unit.pick + min(j * kTileTokens + lane_ / 4, unit.count - 1);
      const std::ptrdiff_t r = row_of<kDown>(a_, place);
      row[j] = reinterpret_cast<const uint4*>(a_.rows + r * a_.stride) + lane_ % 4;
    }
    float totals[kMatrices][kTiles][4];
#pragma unroll
    for (auto& total : totals) clear(total);
    for (int octet = slice_ * Unit::kOctets; octet < call_.octets();
         octet += call_.slices * Unit::kOctets) {
      // Of as many tiles as registers hold, before the wait for the weights.
      constexpr int kEarly = kTiles <= 2 ? kTiles : 0;
      uint4 early[kEarly + 1][kUnit / 32];
#pragma unroll
      for (int j = 0; j < kEarly; ++j) {
        load_octets(row[j] + octet, call_.octets() - octet, early[j]);
      }
      wait_copies<Shared::kStages - 2>();
      __syncwarp();
      request(stage_ == 0 ? Shared::kStages - 1 : stage_ - 1);
      add_unit<Bf16Operand, kGroup, kTiles>(
          ring_ + stage_ * Shared::kStage, call_.weights,
          [&](int c, int j) {
            if (j < kEarly) return fragment_order(early[min(j, kEarly)][c]);
            return octet + c * 4 < call_.octets() ? fragment_order(row[j][octet + c * 4])
                                                  : make_uint4(0, 0, 0, 0);
          },
          lane_, totals);
      stage_ = stage_ + 1 == Shared::kStages ? 0 : stage_ + 1;
    }
    sync_slices(column_, call_.slices);  // the last unit's sums have been read
#pragma unroll
    for (int m = 0; m < kMatrices; ++m) {
      store_sums(sums_ + slice_ * Shared::kSums + m * Shared::kMatrixSums, totals[m], lane_);
    }
    sync_slices(column_, call_.slices);
    for (int i = slice_ * 32 + lane_; i < unit.count * 8; i += call_.slices * 32) {
      const int token = i / 8;
      const int output = i % 8 * 2;
      store_outputs<kDown>(a_, unit.expert, unit.pick + token, unit.panels * kPanel + output,
                           kMatrices == 2 ? total(0, token, output) : float2{0.0F, 0.0F},
                           total(kMatrices - 1, token, output));
    }
  }

  template <int kCount>
  __device__ static void load_octets(const uint4* from, int left, uint4 (&to)[kCount]) {
    if (left >= 4 * kCount) {
#pragma unroll
      for (int c = 0; c < kCount; ++c) to[c] = from[c * 4];
    } else {
#pragma unroll
      for (int c = 0; c < kCount; ++c) to[c] = c * 4 < left ? from[c * 4] : make_uint4(0, 0, 0, 0);
    }
  }

  /// Sum of the slices for output `output` of the panel, and the one after it.
  __device__ float2 total(int m, int token, int output) const {
    float2 sum{0.0F, 0.0F};
    for (int s = 0; s < call_.slices; ++s) {
      const auto part = *reinterpret_cast<const float2*>(
          sums_ + s * Shared::kSums + m * Shared::kMatrixSums + token * kSumsRow + output);
      sum = {sum.x + part.x, sum.y + part.y};
    }
    return sum;
  }

  const Call& call_;
  const ExpertMatrixArgs& a_;
  const int lane_;
  const int slice_;
  const int column_;
  const int columns_;
  float* const sums_;  // [slices, kMatrices, tokens, kSumsRow]
  std::byte* const ring_;
  const std::uint32_t ring_address_;
  ExpertSchedule schedule_;
  int end_ = 0;
  int next_ = 0;  // the unit that weights are asked for
  int next_expert_ = 0;
  typename Unit::Place place_{};
  int stage_ = 0;
};

template <int kGroup, int kMatrices, bool kDown, int kMost>
__global__ void __launch_bounds__(Int4ExpertsShared<kGroup, kMatrices, kMost>::kMostWarps * 32, 1)
    int4_experts(const __grid_constant__ Int4ExpertsCall<kMatrices> call) {
  extern __shared__ uint4 shared_memory[];
  Int4Experts<kGroup, kMatrices, kDown, kMost>(call, reinterpret_cast<std::byte*>(shared_memory))
      .run();
}

}  // namespace thermoe::cuda
