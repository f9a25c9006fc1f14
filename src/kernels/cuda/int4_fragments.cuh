// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

// int4 panels as operands of tensor cores, for one warp: 16 outputs are the rows of an
// mma.m16n8k16, tokens its columns. Row g is output 2g and row g + 8 output 2g + 1, so that a lane
// (g = lane / 4, t = lane % 4) reads the words of two neighbouring outputs at once; of every 32
// inputs its words hold the octet 8t .. 8t + 7. Nibbles i and i + 4 of a word are one lop3 away
// from a pair of 16-bit integers, so octets of x are kept in the order 0 4 1 5 2 6 3 7: any order
// of inputs will do for a sum, if both factors have it.
namespace thermoe::cuda {

/// bf16 operands. kMagic | q is the number kBase + q, exactly.
struct Bf16Operand {
  static constexpr std::uint32_t kMagic = 0x4300'4300;  // 128
  /// a - b, two at once.
  __device__ static std::uint32_t subtract(std::uint32_t a, std::uint32_t b) {
    std::uint32_t d;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(0x3f80'3f80), "r"(b ^ 0x8000'8000));
    return d;
  }
  __device__ static void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                      std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

/// f16 operands.
struct F16Operand {
  static constexpr std::uint32_t kMagic = 0x6400'6400;  // 1024
  __device__ static std::uint32_t subtract(std::uint32_t a, std::uint32_t b) {
    std::uint32_t d;
    asm("sub.f16x2 %0, %1, %2;" : "=r"(d) : "r"(a), "r"(b));
    return d;
  }
  __device__ static void multiply_add(float (&d)[4], const std::uint32_t (&a)[4], std::uint32_t b0,
                                      std::uint32_t b1) {
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
        "{%8,%9}, {%0,%1,%2,%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
  }
};

/// Nibbles i and i + 4 of a word as two 16-bit operands, less the zero point (kMagic | zero).
template <class Operand>
__device__ inline std::uint32_t unpack(std::uint32_t word, int i, std::uint32_t zero) {
  std::uint32_t q;
  asm("lop3.b32 %0, %1, 0x000f000f, %2, 0xea;"  // (a & b) | c
      : "=r"(q)
      : "r"(word >> (4 * i)), "n"(Operand::kMagic));
  return Operand::subtract(q, zero);
}

/// An octet of x in the order 0 4 1 5 2 6 3 7.
__device__ inline uint4 fragment_order(uint4 x) {
  return {__byte_perm(x.x, x.z, 0x5410), __byte_perm(x.x, x.z, 0x7632),
          __byte_perm(x.y, x.w, 0x5410), __byte_perm(x.y, x.w, 0x7632)};
}

/// Zero points 0..15 of a lane's two outputs, for `unpack`.
template <class Operand>
__device__ inline uint2 zero_operands(uchar2 zero) {
  return {Operand::kMagic | zero.x * 0x0001'0001U, Operand::kMagic | zero.y * 0x0001'0001U};
}

/// sums[j] += 32 inputs of a panel times 8 tokens each. `words`: the lane's octet of its two
/// outputs; `x`: its octet of tokens 8j + g, in fragment order.
template <class Operand, int kTiles>
__device__ inline void multiply_step(const uint2& words, const uint2& zero,
                                     const uint4 (&x)[kTiles], float (&sums)[kTiles][4]) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const std::uint32_t a[4] = {unpack<Operand>(words.x, 2 * half, zero.x),
                                unpack<Operand>(words.y, 2 * half, zero.y),
                                unpack<Operand>(words.x, 2 * half + 1, zero.x),
                                unpack<Operand>(words.y, 2 * half + 1, zero.y)};
#pragma unroll
    for (int j = 0; j < kTiles; ++j) {
      Operand::multiply_add(sums[j], a, half == 0 ? x[j].x : x[j].z, half == 0 ? x[j].y : x[j].w);
    }
  }
}

/// totals[j] += scale * sums[j], the end of a group; sums become zeros.
template <int kTiles, int kMost>
__device__ inline void add_group(const float2& scale, float (&sums)[kTiles][4],
                                 float (&totals)[kMost][4]) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      totals[j][i] = __fmaf_rn(i < 2 ? scale.x : scale.y, sums[j][i], totals[j][i]);
      sums[j][i] = 0.0F;
    }
  }
}

template <int kTiles>
__device__ inline void clear(float (&sums)[kTiles][4]) {
#pragma unroll
  for (int j = 0; j < kTiles; ++j) {
#pragma unroll
    for (int i = 0; i < 4; ++i) sums[j][i] = 0.0F;
  }
}

}  // namespace thermoe::cuda
