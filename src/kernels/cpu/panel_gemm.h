// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <type_traits>

#include "kernels/cpu/pack.h"
#include "kernels/int4_weights.h"

// Matrix products on panels of 16 outputs. A tile of M tokens by V panels stays in registers while
// the weights stream past once; every lane adds its inputs in order with one rounding rule, so a
// result does not depend on the tile that it was worked out in.
namespace thermoe::cpu {

/// Tokens in a tile of two panels, so that it fills the registers: 8 of 32 with AVX-512, where that
/// hides the latency, 8 of 16 otherwise.
template <int W>
inline constexpr int kTileTokens = W == kAvx512Width ? 4
                                   : W == kAvx2Width ? 2
                                                     : 1;

/// f32 panels [outputs / 16][inputs][16].
struct F32Matrix {
  const float* data = nullptr;
  int inputs = 0;

  using Panel = const float*;
  THERMOE_INLINE Panel panel(int p) const {
    return data + static_cast<std::ptrdiff_t>(p) * inputs * kLanes;
  }
};

/// int4 panels of docs/adr/0004-int4-layout.md.
struct Int4Matrix {
  const Int4Weights* weights = nullptr;
  int inputs = 0;

  struct Panel {
    const std::uint32_t* words;
    const float* scales;
    const std::uint8_t* zeros;  // null: symmetric
    int group;
  };
  THERMOE_INLINE Panel panel(int p) const {
    const std::ptrdiff_t groups = std::ptrdiff_t{p} * weights->groups() * kLanes;
    const std::uint8_t* zeros = weights->zero_points();
    return {weights->words() + std::ptrdiff_t{p} * (inputs / Int4Weights::kPerWord) * kLanes,
            weights->scales() + groups, zeros ? zeros + groups : nullptr, weights->format().group};
  }
};

template <int W, int V, int M>
using Tile = Floats<W>[M][V];

/// tile[m][v] += x[m] . panels[v]
template <int W, int V, int M>
THERMOE_INLINE void accumulate(const F32Matrix::Panel (&panels)[V], const float* const (&x)[M],
                               int inputs, Tile<W, V, M>& tile) {
  for (int k = 0; k < inputs; ++k) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const Floats<W> w = load<W>(panels[v] + std::ptrdiff_t{k} * kLanes);
#pragma GCC unroll 4
      for (int m = 0; m < M; ++m) tile[m][v] = tile[m][v] + x[m][k] * w;
    }
  }
}

template <int W, int V, int M>
THERMOE_INLINE void accumulate(const Int4Matrix::Panel (&panels)[V], const float* const (&x)[M],
                               int inputs, Tile<W, V, M>& tile) {
  constexpr int kPerWord = Int4Weights::kPerWord;
  for (int g = 0, start = 0; start < inputs; ++g, start += panels[0].group) {
    Floats<W> scale[V];
    Ints<W> zero[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const std::ptrdiff_t at = std::ptrdiff_t{g} * kLanes;
      scale[v] = load<W>(panels[v].scales + at);
      zero[v] = panels[v].zeros ? convert<std::int32_t>(load<W>(panels[v].zeros + at))
                                : splat<W>(std::int32_t{Int4Weights::kMiddle});
    }
    for (int k = start; k < start + panels[0].group; k += kPerWord) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const auto words = load<W>(panels[v].words + std::ptrdiff_t{k} / kPerWord * kLanes);
#pragma GCC unroll 8
        for (int i = 0; i < kPerWord; ++i) {
          const Ints<W> q = bits_as<std::int32_t>((words >> (4 * i)) & 15U);
          const Floats<W> w = scale[v] * convert<float>(q - zero[v]);
#pragma GCC unroll 4
          for (int m = 0; m < M; ++m) tile[m][v] = tile[m][v] + x[m][k + i] * w;
        }
      }
    }
  }
}

/// Calls body(integral_constant<int, M>, first) for tiles of M tokens that cover 0..count-1.
template <int W, class Body>
THERMOE_INLINE void for_each_tile(int count, const Body& body) {
  constexpr int kFull = kTileTokens<W>;
  int m = 0;
  for (; m + kFull <= count; m += kFull) body(std::integral_constant<int, kFull>{}, m);
  if constexpr (kFull > 3) {
    if (count - m == 3) body(std::integral_constant<int, 3>{}, m);
  }
  if constexpr (kFull > 2) {
    if (count - m == 2) body(std::integral_constant<int, 2>{}, m);
  }
  if constexpr (kFull > 1) {
    if (count - m == 1) body(std::integral_constant<int, 1>{}, m);
  }
}

/// Calls body(integral_constant<int, V>, first) for pairs of panels, and for a last one alone.
template <class Body>
THERMOE_INLINE void for_each_panel_pair(int panels, const Body& body) {
  int p = 0;
  for (; p + 2 <= panels; p += 2) body(std::integral_constant<int, 2>{}, p);
  if (p < panels) body(std::integral_constant<int, 1>{}, p);
}

}  // namespace thermoe::cpu
