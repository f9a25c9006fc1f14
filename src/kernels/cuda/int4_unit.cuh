// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/int4_fragments.cuh"
#include "kernels/int4_weights.h"

// int4 panels by way of shared memory, a unit of inputs at a time.
namespace thermoe::cuda {

/// Inputs that a warp takes from a panel at a time: a whole number of groups.
inline constexpr int kUnit = 128;

__device__ inline std::uint32_t shared_address(const void* shared) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(shared));
}
/// Sixteen bytes to shared memory, asynchronously.
__device__ inline void copy_async(std::uint32_t shared, const void* global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(shared), "l"(global) : "memory");
}
__device__ inline void copy_or_zeros_async(std::uint32_t shared, const void* global, bool valid) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global),
               "r"(valid ? 16 : 0)
               : "memory");
}
__device__ inline void commit_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int kPending>
__device__ inline void wait_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// A matrix of int4 panels as the kernels read it, sixteen bytes at a time.
struct Int4Matrix {
  const uint4* words = nullptr;        // [panels, octets of inputs, 4]
  const uint4* scales = nullptr;       // [panels, groups, 4]
  const uint4* zero_points = nullptr;  // [panels, groups] or null

  Int4Matrix() = default;
  explicit Int4Matrix(const Int4View& w)
      : words(reinterpret_cast<const uint4*>(w.words)),
        scales(reinterpret_cast<const uint4*>(w.scales)),
        zero_points(reinterpret_cast<const uint4*>(w.zero_points)) {}
};

/// One unit of a panel in shared memory: its words, then its scales, then its zero points. Of a
/// last unit that the inputs do not fill, the rest is zeros, which weigh nothing.
template <int kGroup>
struct Int4Unit {
  static constexpr int kOctets = kUnit / 8;
  static constexpr int kGroups = kUnit / kGroup;
  static constexpr int kScales = kOctets * 64;                // where they begin
  static constexpr int kZeroPoints = kScales + kGroups * 64;  // if there are any
  static constexpr int kBytes = kZeroPoints + kGroups * 16;

  /// Sixteen bytes of words: chunk 0..3 of octet `row`. Where they lie, lanes t = 0, 1 and t = 2, 3
  /// of half a warp find their words in different banks.
  __device__ static int chunk_at(int row, int chunk) { return row * 64 + (chunk ^ (row & 2)) * 16; }

  /// Where a unit begins in its matrix: the panel's octets and groups before it.
  struct Place {
    int octet;
    int group;
    int octets_left;  // in the panel
  };

  /// A warp asks for the unit at `place`, to shared address `unit`; completes with the warp's other
  /// copies.
  __device__ static void request(std::uint32_t unit, const Int4Matrix& w, const Place& place,
                                 int lane) {
    const uint4* const words = w.words + place.octet * 4 + lane;
    const uint4* const scales = w.scales + place.group * 4 + lane;
    const uint4* const zeros = w.zero_points + place.group + lane;
    const int row = lane / 4;
    const std::uint32_t first = unit + chunk_at(row, lane % 4);
    const std::uint32_t second = first + 8 * 64;
    if (place.octets_left >= kOctets) {
      copy_async(first, words);
      copy_async(second, words + 32);
      if (lane < 4 * kGroups) copy_async(unit + kScales + lane * 16, scales);
      if (w.zero_points && lane < kGroups) copy_async(unit + kZeroPoints + lane * 16, zeros);
      return;
    }
    const int groups_left = place.octets_left / (kGroup / 8);
    copy_or_zeros_async(first, words, row < place.octets_left);
    copy_or_zeros_async(second, words + 32, row + 8 < place.octets_left);
    if (lane < 4 * kGroups) {
      copy_or_zeros_async(unit + kScales + lane * 16, scales, row < groups_left);
    }
    if (w.zero_points && lane < kGroups) {
      copy_or_zeros_async(unit + kZeroPoints + lane * 16, zeros, lane < groups_left);
    }
  }
};

/// totals[m] += x . unit of matrix m, for kMatrices units that lie one after the other and are
/// multiplied by the same inputs: x(c, j) is the lane's octet of inputs 32c .. 32c + 31 and tokens
/// 8j .. 8j + 7, in fragment order. Within a group x * (q - zero) is summed by the tensor
/// cores, then scale times that sum added (docs/adr/0006-int4-arithmetic.md).
template <class Operand, int kGroup, int kTiles, int kMatrices, class Octets>
__device__ inline void add_unit(const std::byte* unit, const Int4Matrix (&weights)[kMatrices],
                                const Octets& x, int lane, float (&totals)[kMatrices][kTiles][4]) {
  using Unit = Int4Unit<kGroup>;
  constexpr int kSteps = kGroup / 32;
  const int g = lane / 4;
  const std::byte* const words = unit + Unit::chunk_at(lane % 4, g / 2) + g % 2 * 8;
  float sums[kMatrices][kTiles][4];
  uint2 zero[kMatrices];
#pragma unroll
  for (int m = 0; m < kMatrices; ++m) {
    clear(sums[m]);
    zero[m] = zero_operands<Operand>({Int4Weights::kMiddle, Int4Weights::kMiddle});
  }
#pragma unroll
  for (int c = 0; c < kUnit / 32; ++c) {
    const int group = c / kSteps;
    uint4 step[kTiles];
#pragma unroll
    for (int j = 0; j < kTiles; ++j) step[j] = x(c, j);
#pragma unroll
    for (int m = 0; m < kMatrices; ++m) {
      const std::byte* const from = unit + m * Unit::kBytes;
      if (c % kSteps == 0 && weights[m].zero_points) {
        zero[m] = zero_operands<Operand>(
            *reinterpret_cast<const uchar2*>(from + Unit::kZeroPoints + group * 16 + 2 * g));
      }
      multiply_step<Operand>(*reinterpret_cast<const uint2*>(words + m * Unit::kBytes + c * 256),
                             zero[m], step, sums[m]);
      if ((c + 1) % kSteps == 0) {
        add_group(*reinterpret_cast<const float2*>(from + Unit::kScales + group * 64 + 8 * g),
                  sums[m], totals[m]);
      }
    }
  }
}

}  // namespace thermoe::cuda
