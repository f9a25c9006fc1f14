// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>

#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/linear_output.h"
#include "kernels/cpu/panel_gemm.h"

// The int4 linear layer for many tokens. Decoding a weight costs two tokens' worth of arithmetic,
// so a block of panels is decoded to the first-level cache and used for all tokens of a block; the
// same additions in the same order as tile by tile, hence the same bits. The buffers lie on the
// stack: about 0.2 MiB, 0.4 MiB with a gate.
namespace thermoe::cpu {

/// Tokens and panels whose totals are kept side by side, and inputs worked off at a time (a whole
/// number of groups): tokens * (inputs + outputs) floats stay in the second-level cache.
struct LinearBlock {
  static constexpr int kTokens = 128;
  static constexpr int kInputs = 128;
  static constexpr int kPanels = 16;
  static constexpr int kOutputs = kPanels * kLanes;

  int token = 0;
  int tokens = 0;
  int panel = 0;
  int panels = 0;
};

/// Totals [tokens][kOutputs] of a block.
struct alignas(64) LinearTotals {
  float value[LinearBlock::kTokens * LinearBlock::kOutputs];
  THERMOE_INLINE float* at(int token, int panel) {
    return value + static_cast<std::ptrdiff_t>(token) * LinearBlock::kOutputs + panel * kLanes;
  }
};

/// What the inner loops read: inputs of the block's tokens, and V decoded panels.
template <int V>
struct alignas(64) LinearOperands {
  float x[LinearBlock::kTokens][LinearBlock::kInputs];
  float weights[V][LinearBlock::kInputs * kLanes];
};

/// `count` inputs from `start` on of one panel, q - zero as floats [count][16].
template <int W, bool kZeros>
THERMOE_INLINE void decode_panel(const typename Int4Matrix<kZeros>::Panel& panel, int start,
                                 int count, float* to) {
  constexpr int kPerWord = Int4Weights::kPerWord;
  for (int k = 0; k < count; k += kPerWord) {
    NibbleDecoder<W, kZeros> decoder;
    decoder.start(panel, (start + k) / panel.group);
    const auto words =
        load<W>(panel.words + static_cast<std::ptrdiff_t>((start + k) / kPerWord) * kLanes);
#pragma GCC unroll 8
    for (int i = 0; i < kPerWord; ++i) store(to + (k + i) * kLanes, decoder.decode(words, i));
  }
}

/// totals += x * decoded panels, for M tokens from `token` on and V panels from `panel` on.
template <int W, int V, int M>
THERMOE_INLINE void add_tile(const LinearOperands<V>& operands, const float* const (&scales)[V],
                             int count, int group, int token, int panel, LinearTotals& totals) {
  const float* rows[M];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m) rows[m] = operands.x[token + m];
  for (int g = 0, start = 0; start < count; ++g, start += group) {
    Tile<W, V, M> sums;
    clear<W, V, M>(sums);
    const float* weights[V];
    Floats<W> scale[V];
#pragma GCC unroll 4
    for (int v = 0; v < V; ++v) {
      weights[v] = operands.weights[v] + start * kLanes;
      scale[v] = load<W>(scales[v] + std::ptrdiff_t{g} * kLanes);
    }
    accumulate<W, V, M>(weights, rows, group, sums);
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m) {
#pragma GCC unroll 4
      for (int v = 0; v < V; ++v) {
        float* to = totals.at(token + m, panel + v);
        store(to, load<W>(to) + scale[v] * sums[m][v]);
      }
      rows[m] += group;
    }
  }
}

/// totals = bias + x W^T for a block.
template <int W, bool kZeros>
THERMOE_INLINE void block_product(const Int4View& w, const float* x, const float* bias,
                                  const LinearBlock& block, LinearTotals& totals) {
  constexpr int V = kTilePanels<W, kTileTokens<W>>;
  static_assert(LinearBlock::kPanels % V == 0);
  const Int4Matrix<kZeros> matrix{w};
  const int group = w.group;
  for (int t = 0; t < block.tokens; ++t) {
    for (int p = 0; p < block.panels; ++p) {
      store(totals.at(t, p), bias_panel<W>(bias, block.panel + p, w.outputs));
    }
  }
  LinearOperands<V> operands;
  for (int start = 0; start < w.inputs; start += LinearBlock::kInputs) {
    const int count = std::min(LinearBlock::kInputs, w.inputs - start);
    for (int t = 0; t < block.tokens; ++t) {
      std::copy_n(x + static_cast<std::ptrdiff_t>(block.token + t) * w.inputs + start, count,
                  operands.x[t]);
    }
    for (int p = 0; p < block.panels; p += V) {
      const float* scales[V];
      for (int v = 0; v < V; ++v) {
        // Where the last tile is not full, its last panel is worked out twice.
        const auto panel = matrix.panel(block.panel + std::min(p + v, block.panels - 1));
        decode_panel<W, kZeros>(panel, start, count, operands.weights[v]);
        scales[v] = panel.scales + static_cast<std::ptrdiff_t>(start / group) * kLanes;
      }
      for_each_token_tile<kTileTokens<W>>(
          block.tokens, [&](auto m, int first) __attribute__((always_inline)) {
            add_tile<W, V, decltype(m)::value>(operands, scales, count, group, first, p, totals);
          });
    }
  }
}

template <class Body>
THERMOE_INLINE void for_each_block(int tokens, int panels, const Body& body) {
  for (int t = 0; t < tokens; t += LinearBlock::kTokens) {
    for (int p = 0; p < panels; p += LinearBlock::kPanels) {
      body(LinearBlock{t, std::min(LinearBlock::kTokens, tokens - t), p,
                       std::min(LinearBlock::kPanels, panels - p)});
    }
  }
}

template <int W, bool kZeros>
THERMOE_INLINE void blocked_linear(const FusedDequantLinearArgs& a) {
  const auto* x = static_cast<const float*>(a.x);
  LinearTotals totals;
  for_each_block(
      a.tokens, a.weights.panels(), [&](const LinearBlock& block) __attribute__((always_inline)) {
        block_product<W, kZeros>(a.weights, x, a.bias, block, totals);
        for (int t = 0; t < block.tokens; ++t) {
          for (int p = 0; p < block.panels; ++p) {
            store_panel(a, block.token + t, block.panel + p,
                        apply(a.epilogue, load<W>(totals.at(t, p))));
          }
        }
      });
}

template <int W, bool kZeros>
THERMOE_INLINE void blocked_gated_linear(const FusedDequantLinearArgs& a) {
  LinearTotals gate;
  LinearTotals up;
  const auto* x = static_cast<const float*>(a.x);
  for_each_block(
      a.tokens, a.weights.panels(), [&](const LinearBlock& block) __attribute__((always_inline)) {
        block_product<W, kZeros>(a.weights, x, a.bias, block, gate);
        block_product<W, kZeros>(a.up, x, a.up_bias, block, up);
        for (int t = 0; t < block.tokens; ++t) {
          for (int p = 0; p < block.panels; ++p) {
            store_panel(a, block.token + t, block.panel + p,
                        silu(load<W>(gate.at(t, p))) * load<W>(up.at(t, p)));
          }
        }
      });
}

}  // namespace thermoe::cpu
