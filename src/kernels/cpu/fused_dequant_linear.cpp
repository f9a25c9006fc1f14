// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include "kernels/cpu/backends.h"
#include "kernels/cpu/blocked_linear.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/linear_output.h"
#include "kernels/cpu/panel_gemm.h"

namespace thermoe::cpu {
namespace {

/// From this many tokens on, decoding once for all of them wins.
constexpr int kBlockedFrom = 17;

/// tile = bias + x W^T for tokens first..first+M-1 and panels p..p+V-1
template <int W, int V, int M, bool kZeros>
THERMOE_INLINE void multiply(const Int4View& w, const float* x, const float* bias, int p, int first,
                             Tile<W, V, M>& tile) {
  const Int4Matrix<kZeros> matrix{w};
  typename Int4Matrix<kZeros>::Panel panels[V];
  const float* rows[M];
  for (int i = 0; i < M; ++i) rows[i] = x + static_cast<std::ptrdiff_t>(first + i) * w.inputs;
  for (int j = 0; j < V; ++j) {
    panels[j] = matrix.panel(p + j);
    for (int i = 0; i < M; ++i) tile[i][j] = bias_panel<W>(bias, p + j, w.outputs);
  }
  TileKernel<W>::template add<V, M>(panels, rows, w.inputs, tile);
}

template <int W, bool kZeros>
THERMOE_INLINE void linear(const FusedDequantLinearArgs& a) {
  const auto* x = static_cast<const float*>(a.x);
  for_each_tile<W>(
      a.weights.panels(),
      a.tokens, [&](auto v, int p, auto m, int first) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        constexpr int M = decltype(m)::value;
        Tile<W, V, M> tile;
        multiply<W, V, M, kZeros>(a.weights, x, a.bias, p, first, tile);
#pragma GCC unroll 1
        for (int i = 0; i < M; ++i) {
#pragma GCC unroll 1
          for (int j = 0; j < V; ++j)
            store_panel(a, first + i, p + j, apply(a.epilogue, tile[i][j]));
        }
      });
}

/// One weight after the other: they may have groups of different size.
template <int W, bool kZeros>
THERMOE_INLINE void gated_linear(const FusedDequantLinearArgs& a) {
  const auto* x = static_cast<const float*>(a.x);
  for_each_tile<W>(
      a.weights.panels(),
      a.tokens, [&](auto v, int p, auto m, int first) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        constexpr int M = decltype(m)::value;
        Tile<W, V, M> gate;
        Tile<W, V, M> up;
        multiply<W, V, M, kZeros>(a.weights, x, a.bias, p, first, gate);
        multiply<W, V, M, kZeros>(a.up, x, a.up_bias, p, first, up);
#pragma GCC unroll 1
        for (int i = 0; i < M; ++i) {
#pragma GCC unroll 1
          for (int j = 0; j < V; ++j) store_panel(a, first + i, p + j, silu(gate[i][j]) * up[i][j]);
        }
      });
}

template <int W, bool kZeros>
THERMOE_INLINE void run(const FusedDequantLinearArgs& a) {
  const bool gated = a.epilogue == Epilogue::kSiluMul;
  if (gated) {
    gated_linear<W, kZeros>(a);
  } else {
    linear<W, kZeros>(a);
  }
}
template <int W, bool kZeros>
THERMOE_INLINE void run_blocked(const FusedDequantLinearArgs& a) {
  const bool gated = a.epilogue == Epilogue::kSiluMul;
  if (gated) {
    blocked_gated_linear<W, kZeros>(a);
  } else {
    blocked_linear<W, kZeros>(a);
  }
}

// Functions of their own for the blocked ways: only they need much stack.
#define THERMOE_LINEAR_FUNCTIONS(name, target, width)                                 \
  template <bool kZeros>                                                              \
  target void run_##name(const FusedDequantLinearArgs& a) {                           \
    run<width, kZeros>(a);                                                            \
  }                                                                                   \
  template <bool kZeros>                                                              \
  [[gnu::noinline]] target void run_blocked_##name(const FusedDequantLinearArgs& a) { \
    run_blocked<width, kZeros>(a);                                                    \
  }
THERMOE_LINEAR_FUNCTIONS(avx512, THERMOE_TARGET_AVX512, kAvx512Width)
THERMOE_LINEAR_FUNCTIONS(avx2, THERMOE_TARGET_AVX2, kAvx2Width)
THERMOE_LINEAR_FUNCTIONS(baseline, , kBaselineWidth)
#undef THERMOE_LINEAR_FUNCTIONS

template <bool kZeros>
void dispatch(const FusedDequantLinearArgs& a, Isa isa) {
  const bool blocked = a.tokens >= kBlockedFrom;
  switch (isa) {
    case Isa::kAvx512:
      return blocked ? run_blocked_avx512<kZeros>(a) : run_avx512<kZeros>(a);
    case Isa::kAvx2:
      return blocked ? run_blocked_avx2<kZeros>(a) : run_avx2<kZeros>(a);
    case Isa::kBaseline:
      return blocked ? run_blocked_baseline<kZeros>(a) : run_baseline<kZeros>(a);
  }
}

}  // namespace

void fused_dequant_linear(const FusedDequantLinearArgs& args, Isa isa) {
  const bool zeros = args.weights.zero_points || args.up.zero_points;
  if (zeros) {
    dispatch<true>(args, isa);
  } else {
    dispatch<false>(args, isa);
  }
}

}  // namespace thermoe::cpu
