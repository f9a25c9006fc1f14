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

/// Most tokens in a tile: with two panels of AVX-512, one of AVX2 or one of SSE2 they take half of
/// the registers or more, and enough sums are under way to hide the latency of an addition.
template <int W>
inline constexpr int kTileTokens = W == kAvx512Width ? 8
                                   : W == kAvx2Width ? 4
                                                     : 2;
/// Panels in a tile of M tokens: more where tokens are few, for the same reason.
template <int W, int M>
inline constexpr int kTilePanels = W == kAvx512Width ? (M > 4 ? 2 : 4)
                                   : W == kAvx2Width ? (M > 2 ? 1 : 2)
                                                     : (M > 1 ? 1 : 2);
/// Panels that all tokens go through before the next ones: a whole number of every tile's.
template <int W>
inline constexpr int kBlockPanels = kTilePanels<W, 1>;

template <int W, int V, int M>
using Tile = Floats<W>[M][V];

/// f32 panels [outputs / 16][inputs][16].
struct F32Matrix {
  const float* data = nullptr;
  int inputs = 0;

  using Panel = const float*;
  THERMOE_INLINE Panel panel(int p) const {
    return data + static_cast<std::ptrdiff_t>(p) * inputs * kLanes;
  }
};

/// f32 panels of ExpertBank whose weights are exact in bf16: words [outputs / 16][inputs / 2][16].
struct Bf16Matrix {
  const std::uint32_t* data = nullptr;
  int inputs = 0;

  struct Panel {
    const std::uint32_t* words;
  };
  THERMOE_INLINE Panel panel(int p) const {
    return {data + static_cast<std::ptrdiff_t>(p) * ((inputs + 1) / 2) * kLanes};
  }
};

/// int4 panels of docs/adr/0004-int4-layout.md. `kZeros`: read zero points where there are some;
/// otherwise all formats are symmetric.
template <bool kZeros>
struct Int4Matrix {
  Int4View weights{};

  struct Panel {
    const std::uint32_t* words;
    const float* scales;
    const std::uint8_t* zeros;  // null: symmetric
    int group;
  };
  THERMOE_INLINE Panel panel(int p) const {
    const std::ptrdiff_t groups = std::ptrdiff_t{p} * weights.groups() * kLanes;
    const std::uint8_t* zeros = weights.zero_points;
    return {weights.words + std::ptrdiff_t{p} * (weights.inputs / Int4View::kPerWord) * kLanes,
            weights.scales + groups, zeros ? zeros + groups : nullptr, weights.group};
  }
};

/// Turns the nibbles of one group of a panel into q - zero, as floats and exactly.
template <int W, bool kZeros>
class NibbleDecoder {
 public:
  template <class Panel>
  THERMOE_INLINE void start(const Panel& panel, int group) {
    if constexpr (kZeros) {
      zero_ = panel.zeros
                  ? convert<std::int32_t>(load<W>(panel.zeros + std::ptrdiff_t{group} * kLanes))
                  : splat<W>(std::int32_t{Int4Weights::kMiddle});
    }
    if constexpr (kHasLookup<W>) {
      constexpr float kSteps[] = {-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7};
      table_ = load<W>(kSteps);
    }
    if constexpr (kHasLookup<W> && kZeros) {
      shift_ = convert<float>(zero_ - std::int32_t{Int4Weights::kMiddle});
    }
  }

  /// Nibble i of 16 words.
  THERMOE_INLINE Floats<W> decode(const Pack<std::uint32_t, W>& words, int i) const {
    if constexpr (kHasLookup<W>) {
      const Floats<W> steps = lookup<W>(table_, bits_as<std::int32_t>(words >> (4 * i)));
      if constexpr (kZeros) return steps - shift_;
      return steps;
    } else {
      const auto q = bits_as<std::int32_t>((words >> (4 * i)) & 15U);
      if constexpr (kZeros) return convert<float>(q - zero_);
      return convert<float>(q - std::int32_t{Int4Weights::kMiddle});
    }
  }

 private:
  Ints<W> zero_;
  Floats<W> table_;
  Floats<W> shift_;
};

template <int W, int V, int M>
THERMOE_INLINE void clear(Tile<W, V, M>& tile) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) tile[m][v] = splat<W>(0.0F);
  }
}

/// tile[m][v] += x[m][k] * weights[v]
template <int W, int V, int M>
THERMOE_INLINE void multiply_add(const Floats<W> (&weights)[V], const float* const (&x)[M],
                                 std::ptrdiff_t k, Tile<W, V, M>& tile) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
    const Floats<W> input = broadcast<W>(x[m][k]);
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) tile[m][v] = tile[m][v] + input * weights[v];
  }
}

/// Cache lines by which weights are asked for ahead of their use.
inline constexpr int kAhead = 12;

/// tile[m][v] += x[m] . panels[v]
template <int W, int V, int M>
THERMOE_INLINE void accumulate(const F32Matrix::Panel (&panels)[V], const float* const (&x)[M],
                               int inputs, Tile<W, V, M>& tile) {
#pragma GCC unroll 2
  for (std::ptrdiff_t k = 0; k < inputs; ++k) {
    Floats<W> weights[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) weights[v] = load<W>(panels[v] + k * kLanes);
    multiply_add<W, V, M>(weights, x, k, tile);
  }
}

template <int W, int V, int M>
THERMOE_INLINE void accumulate(const Bf16Matrix::Panel (&panels)[V], const float* const (&x)[M],
                               int inputs, Tile<W, V, M>& tile) {
  constexpr std::uint32_t kUpperHalf = 0xffff0000U;
  for (std::ptrdiff_t pair = 0; pair < inputs / 2; ++pair) {
    Floats<W> lower[V];
    Floats<W> upper[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      const std::uint32_t* at = panels[v].words + pair * kLanes;
      __builtin_prefetch(at + kAhead * kLanes);
      const auto words = load<W>(at);
      lower[v] = bits_as<float>(words << 16);
      upper[v] = bits_as<float>(words & kUpperHalf);
    }
    multiply_add<W, V, M>(lower, x, 2 * pair, tile);
    multiply_add<W, V, M>(upper, x, 2 * pair + 1, tile);
  }
  if (inputs % 2 == 0) return;
  Floats<W> last[V];
#pragma GCC unroll 4
  for (int v = 0; v < V; ++v) {
    const auto words = load<W>(panels[v].words + std::ptrdiff_t{inputs / 2} * kLanes);
    last[v] = bits_as<float>(words << 16);
  }
  multiply_add<W, V, M>(last, x, inputs - 1, tile);
}

/// tile[m][v] += scale[v] * sums[m][v], the end of a group.
template <int W, int V, int M>
THERMOE_INLINE void add_group(const Floats<W> (&scale)[V], const Tile<W, V, M>& sums,
                              Tile<W, V, M>& tile) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) tile[m][v] = tile[m][v] + scale[v] * sums[m][v];
  }
}

/// The same on int4: within a group x * (q - zero) is summed from 0, and the group's sum times its
/// scale added to the tile (docs/adr/0006-int4-arithmetic.md).
template <int W, int V, int M, bool kZeros>
THERMOE_INLINE void accumulate_int4(const typename Int4Matrix<kZeros>::Panel (&panels)[V],
                                    const float* const (&x)[M], int inputs, Tile<W, V, M>& tile) {
  constexpr int kPerWord = Int4Weights::kPerWord;
  const int group = panels[0].group;
  for (int g = 0, start = 0; start < inputs; ++g, start += group) {
    Tile<W, V, M> sums;
    clear<W, V, M>(sums);
    NibbleDecoder<W, kZeros> decoder[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) decoder[v].start(panels[v], g);
    for (int word = 0; word < group / kPerWord; ++word) {
      const std::ptrdiff_t k = start + word * kPerWord;
      Pack<std::uint32_t, W> words[V];
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        const std::uint32_t* at = panels[v].words + k * (kLanes / kPerWord);
        __builtin_prefetch(at + kAhead * kLanes);
        words[v] = load<W>(at);
      }
#pragma GCC unroll 8
      for (int i = 0; i < kPerWord; ++i) {
        Floats<W> weights[V];
#pragma GCC unroll 4
        for (int v = 0; v < V; ++v) weights[v] = decoder[v].decode(words[v], i);
        multiply_add<W, V, M>(weights, x, k + i, sums);
      }
    }
    Floats<W> scale[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) scale[v] = load<W>(panels[v].scales + std::ptrdiff_t{g} * kLanes);
    add_group<W, V, M>(scale, sums, tile);
  }
}
template <int W, int V, int M>
THERMOE_INLINE void accumulate(const Int4Matrix<false>::Panel (&panels)[V],
                               const float* const (&x)[M], int inputs, Tile<W, V, M>& tile) {
  accumulate_int4<W, V, M, false>(panels, x, inputs, tile);
}
template <int W, int V, int M>
THERMOE_INLINE void accumulate(const Int4Matrix<true>::Panel (&panels)[V],
                               const float* const (&x)[M], int inputs, Tile<W, V, M>& tile) {
  accumulate_int4<W, V, M, true>(panels, x, inputs, tile);
}

/// to = from, element by element. (Where a loop over a tile is not unrolled, the tile is kept in
/// memory, and what is worked out on it is ten times slower.)
template <int W, int V, int M>
THERMOE_INLINE void copy_tile(const Tile<W, V, M>& from, Tile<W, V, M>& to) {
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) to[m][v] = from[m][v];
  }
}

/// tile += x . panels by a function of its own for each tile: inlined into each of their callers,
/// the loops above would take minutes to compile.
template <int W>
struct TileKernel;
#define THERMOE_TILE_KERNEL(width, target)                                                         \
  template <>                                                                                      \
  struct TileKernel<width> {                                                                       \
    template <int V, int M, class Panel>                                                           \
    [[gnu::noinline]] target static void add(const Panel (&panels)[V], const float* const (&x)[M], \
                                             int inputs, Tile<width, V, M>& tile) {                \
      Tile<width, V, M> held;                                                                      \
      copy_tile<width, V, M>(tile, held);                                                          \
      accumulate<width, V, M>(panels, x, inputs, held);                                            \
      copy_tile<width, V, M>(held, tile);                                                          \
    }                                                                                              \
  };
THERMOE_TILE_KERNEL(kAvx512Width, THERMOE_TARGET_AVX512)
THERMOE_TILE_KERNEL(kAvx2Width, THERMOE_TARGET_AVX2)
THERMOE_TILE_KERNEL(kBaselineWidth, )
#undef THERMOE_TILE_KERNEL

template <int N>
using Constant = std::integral_constant<int, N>;

/// Calls body(Constant<M>, first) for tiles of at most kMost tokens that cover 0..count-1.
template <int kMost, class Body>
THERMOE_INLINE void for_each_token_tile(int count, const Body& body) {
  int m = 0;
  for (; m + kMost <= count; m += kMost) body(Constant<kMost>{}, m);
  if constexpr (kMost > 4) {
    if (count - m >= 4) {
      body(Constant<4>{}, m);
      m += 4;
    }
  }
  if constexpr (kMost > 3) {
    if (count - m == 3) body(Constant<3>{}, m);
  }
  if constexpr (kMost > 2) {
    if (count - m == 2) body(Constant<2>{}, m);
  }
  if constexpr (kMost > 1) {
    if (count - m == 1) body(Constant<1>{}, m);
  }
}

/// Calls body(Constant<V>, panel, Constant<M>, token) for tiles that cover `panels` x `count`. All
/// tokens go through a block of panels before the next block: its weights are read once from
/// memory.
template <int W, class Body>
THERMOE_INLINE void for_each_tile(int panels, int count, const Body& body) {
  int p = 0;
  for (; p + kBlockPanels<W> <= panels; p += kBlockPanels<W>) {
    for_each_token_tile<kTileTokens<W>>(
        count, [&](auto m, int first) __attribute__((always_inline)) {
          constexpr int V = kTilePanels<W, decltype(m)::value>;
          for (int j = 0; j < kBlockPanels<W>; j += V) body(Constant<V>{}, p + j, m, first);
        });
  }
  for (; p < panels; ++p) {
    for_each_token_tile<kTileTokens<W>>(
        count, [&](auto m, int first)
                   __attribute__((always_inline)) { body(Constant<1>{}, p, m, first); });
  }
}

}  // namespace thermoe::cpu
