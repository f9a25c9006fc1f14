// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_bf16.h>

#include <cstddef>
#include <cstdint>

#include "kernels/expert_bank_view.h"

// bf16 panels as operands of tensor cores. mma.m16n8k16 multiplies 16 outputs of a panel (A) by 8
// tokens (B). Row g of A is output 2g of the panel and row g + 8 output 2g + 1, so that a lane's
// weights lie side by side: what it reads are fragments, as they lie in memory.
namespace thermoe::cuda {

/// Warps of a block, among which inputs are shared out in quarters.
inline constexpr int kWarps = 4;

/// Rows of the B operand: row[j] is where the lane's token of tile j starts, in elements of `data`.
template <int kMost>
struct TokenRows {
  const __nv_bfloat16* data;
  int stride;  ///< elements of a row that may be read
  unsigned row[kMost];
};

/// sums += A B for 16 outputs, 8 tokens and 16 inputs.
__device__ inline void mma_bf16(float (&sums)[4], const uint2& low, const uint2& high,
                                std::uint32_t b_low, std::uint32_t b_high) {
  asm volatile(
      "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
      "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(low.x), "r"(low.y), "r"(high.x), "r"(high.y), "r"(b_low), "r"(b_high));
}

/// Read once: kept out of L1, where the tokens are.
__device__ inline uint2 load_weights(const uint2* from) {
  uint2 words;
  asm volatile("ld.global.nc.L1::no_allocate.L2::256B.v2.u32 {%0,%1}, [%2];"
               : "=r"(words.x), "=r"(words.y)
               : "l"(from));
  return words;
}

/// Volatile, as is load_weights: in program order, or loads far ahead would take all registers.
__device__ inline uint4 load_row(const __nv_bfloat16* from) {
  uint4 words;
  asm volatile("ld.global.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(words.x), "=r"(words.y), "=r"(words.z), "=r"(words.w)
               : "l"(from));
  return words;
}

/// ExpertBank's panels of words of two bf16 inputs, [inputs / 2][16], as they lie in memory. A warp
/// takes chunks of 64 inputs. Which inputs a fragment holds is free, as long as A and B agree: lane
/// group t takes words 4t..4t+3 of each half of a chunk, so that a token's are 16 bytes.
struct Bf16Panels {
  static constexpr int kChunkWords = 32;

  struct Panels {
    const uint2* words[2];  ///< the lane's
  };
  /// Two chunks of a pair of panels: one is multiplied while the other comes.
  struct Chunk {
    uint2 a[2][8];
  };
  struct Stage {
    Chunk chunks[2];
  };

  /// Of one launch: the pair is (gate, up) of a panel, or two panels of one matrix.
  PanelMatrices<std::uint32_t> matrix[2]{};
  int words_a_panel = 0;  ///< 16 * (inputs / 2, rounded up)

  __device__ Panels panels(int expert, int first, int second) const {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const auto at = [&](int m, int panel) {
      const std::uint32_t* words = matrix[m].first + matrix[m].stride * expert +
                                   static_cast<std::ptrdiff_t>(panel) * words_a_panel;
      return reinterpret_cast<const uint2*>(words) + lane % 4 * 4 * 8 + lane / 4;
    };
    return {{at(0, first), at(1, second)}};
  }

  /// Asks for the first weights of the warp's quarter.
  __device__ void start(Stage& stage, const Panels& panels, int inputs) const {
    const int words = (inputs + 1) / 2;
    const Quarter own = quarter(words);
    if (own.first < own.end) load(stage.chunks[0], panels, own.first, words);
    if (own.first + 1 < own.end) load(stage.chunks[1], panels, own.first + 1, words);
  }

  /// Adds the warp's quarter of the inputs: sums[m][j] are mma's accumulators of panel m and tokens
  /// 8j .. 8j + 7.
  template <int kTiles, int kMost>
  __device__ void multiply(Stage& stage, const Panels& panels, const TokenRows<kMost>& rows,
                           int inputs, float (&sums)[2][kMost][4]) const {
    const int words = (inputs + 1) / 2;
    const Quarter own = quarter(words);
    // Tokens are asked for a chunk ahead, unless they would take too many registers.
    constexpr bool kAhead = kMost <= 2;
    Tokens<kTiles> even;
    Tokens<kTiles> odd;
    if (kAhead && own.first < own.end) read(even, rows, own.first);
#pragma unroll 1
    for (int c = own.first; c < own.end; c += 2) {
      if (!kAhead) read(even, rows, c);
      if (kAhead && c + 1 < own.end) read(odd, rows, c + 1);
      add(stage.chunks[0], even, sums);
      if (c + 2 < own.end) load(stage.chunks[0], panels, c + 2, words);
      if (c + 1 == own.end) break;
      if (!kAhead) read(odd, rows, c + 1);
      if (kAhead && c + 2 < own.end) read(even, rows, c + 2);
      add(stage.chunks[1], odd, sums);
      if (c + 3 < own.end) load(stage.chunks[1], panels, c + 3, words);
    }
  }

 private:
  /// The warp's chunks: a quarter of all, the last warps' perhaps fewer.
  struct Quarter {
    int first;
    int end;
  };
  __device__ static Quarter quarter(int words) {
    const int chunks = (words + kChunkWords - 1) / kChunkWords;
    const int each = (chunks + kWarps - 1) / kWarps;
    const int first = static_cast<int>(threadIdx.x) / 32 * each;
    return {first, min(first + each, chunks)};
  }

  __device__ static void load(Chunk& to, const Panels& panels, int chunk, int words) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    if ((chunk + 1) * kChunkWords <= words) {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          to.a[m][i] = load_weights(panels.words[m] + (chunk * kChunkWords + place(i)) * 8);
        }
      }
    } else {
#pragma unroll
      for (int i = 0; i < 8; ++i) {
        const int word = chunk * kChunkWords + place(i);
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          to.a[m][i] = word + lane % 4 * 4 < words ? load_weights(panels.words[m] + word * 8)
                                                   : make_uint2(0, 0);
        }
      }
    }
  }

  /// Of a chunk's words, the i-th of lane group 0.
  __device__ static constexpr int place(int i) { return i / 4 * 16 + i % 4; }

  /// A chunk of the lane's tokens.
  template <int kTiles>
  struct Tokens {
    uint4 x[kTiles][2];
  };
  template <int kTiles, int kMost>
  __device__ static void read(Tokens<kTiles>& to, const TokenRows<kMost>& rows, int chunk) {
    const int lane = static_cast<int>(threadIdx.x) % 32;
    const int input = chunk * kChunkWords * 2 + lane % 4 * 8;
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
#pragma unroll
      for (int h = 0; h < 2; ++h) {
        to.x[j][h] = make_uint4(0, 0, 0, 0);
        if (input + h * 32 < rows.stride) {
          to.x[j][h] = load_row(rows.data + rows.row[j] + input + h * 32);
        }
      }
    }
  }

  template <int kTiles, int kMost>
  __device__ static void add(const Chunk& weights, const Tokens<kTiles>& tokens,
                             float (&sums)[2][kMost][4]) {
#pragma unroll
    for (int h = 0; h < 2; ++h) {
#pragma unroll
      for (int j = 0; j < kTiles; ++j) {
        const uint4& x = tokens.x[j][h];
#pragma unroll
        for (int m = 0; m < 2; ++m) {
          mma_bf16(sums[m][j], weights.a[m][4 * h], weights.a[m][4 * h + 1], x.x, x.y);
          mma_bf16(sums[m][j], weights.a[m][4 * h + 2], weights.a[m][4 * h + 3], x.z, x.w);
        }
      }
    }
  }
};

}  // namespace thermoe::cuda
