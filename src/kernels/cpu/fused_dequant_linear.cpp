// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include <algorithm>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/backends.h"
#include "kernels/cpu/panel_gemm.h"

namespace thermoe::cpu {
namespace {

/// Bias of panel p's outputs; zeros where there is none.
template <int W>
THERMOE_INLINE Floats<W> bias_panel(const float* bias, int p, int outputs) {
  if (!bias) return splat<W>(0.0F);
  const int first = p * kLanes;
  if (first + kLanes <= outputs) return load<W>(bias + first);
  float lanes[kLanes] = {};
  std::copy(bias + first, bias + outputs, lanes);
  return load<W>(lanes);
}

template <int W>
THERMOE_INLINE void store_panel(const FusedDequantLinearArgs& a, int token, int p,
                                const Floats<W>& value) {
  const int outputs = a.weights->outputs();
  float* to = a.out + static_cast<std::ptrdiff_t>(token) * outputs + p * kLanes;
  if ((p + 1) * kLanes <= outputs) {
    store(to, value);
  } else {
    store_first(to, value, outputs - p * kLanes);
  }
}

template <int W>
THERMOE_INLINE Floats<W> apply(Epilogue epilogue, const Floats<W>& y) {
  switch (epilogue) {
    case Epilogue::kRelu:
      return relu(y);
    case Epilogue::kGelu:
      return gelu(y);
    default:
      return y;
  }
}

/// Panels `panel[0..V)` of the weights for tokens first..first+M-1, one input vector a token.
template <int W, int V, int M>
THERMOE_INLINE void multiply(const FusedDequantLinearArgs& a, const Int4Matrix::Panel (&panels)[V],
                             int first, Tile<W, V, M>& tile) {
  const int inputs = a.weights->inputs();
  const float* rows[M];
  for (int m = 0; m < M; ++m) rows[m] = a.x + static_cast<std::ptrdiff_t>(first + m) * inputs;
  accumulate<W, V, M>(panels, rows, inputs, tile);
}

template <int W>
THERMOE_INLINE void linear(const FusedDequantLinearArgs& a) {
  const Int4Matrix weights{a.weights, a.weights->inputs()};
  const int outputs = a.weights->outputs();
  for_each_panel_pair(
      a.weights->panels(), [&](auto v, int p) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        for_each_tile<W>(
            a.tokens, [&](auto m, int first) __attribute__((always_inline)) {
              constexpr int M = decltype(m)::value;
              Int4Matrix::Panel panels[V];
              Tile<W, V, M> tile;
              for (int j = 0; j < V; ++j) {
                panels[j] = weights.panel(p + j);
                for (int i = 0; i < M; ++i) tile[i][j] = bias_panel<W>(a.bias, p + j, outputs);
              }
              multiply<W, V, M>(a, panels, first, tile);
              for (int i = 0; i < M; ++i) {
                for (int j = 0; j < V; ++j)
                  store_panel(a, first + i, p + j, apply(a.epilogue, tile[i][j]));
              }
            });
      });
}

template <int W>
THERMOE_INLINE void gated_linear(const FusedDequantLinearArgs& a) {
  const Int4Matrix gate{a.weights, a.weights->inputs()};
  const Int4Matrix up{a.up, a.up->inputs()};
  const int outputs = a.weights->outputs();
  for (int p = 0; p < a.weights->panels(); ++p) {
    for_each_tile<W>(
        a.tokens, [&](auto m, int first) __attribute__((always_inline)) {
          constexpr int M = decltype(m)::value;
          const Int4Matrix::Panel gate_panel[1] = {gate.panel(p)};
          const Int4Matrix::Panel up_panel[1] = {up.panel(p)};
          Tile<W, 1, M> gated;
          Tile<W, 1, M> linear;
          for (int i = 0; i < M; ++i) {
            gated[i][0] = bias_panel<W>(a.bias, p, outputs);
            linear[i][0] = bias_panel<W>(a.up_bias, p, outputs);
          }
          // One after the other: the two weights may have groups of different size.
          multiply<W, 1, M>(a, gate_panel, first, gated);
          multiply<W, 1, M>(a, up_panel, first, linear);
          for (int i = 0; i < M; ++i)
            store_panel(a, first + i, p, silu(gated[i][0]) * linear[i][0]);
        });
  }
}

template <int W>
THERMOE_INLINE void run(const FusedDequantLinearArgs& a) {
  if (a.epilogue == Epilogue::kSiluMul) {
    gated_linear<W>(a);
  } else {
    linear<W>(a);
  }
}

THERMOE_TARGET_AVX512 void run_avx512(const FusedDequantLinearArgs& a) { run<kAvx512Width>(a); }
THERMOE_TARGET_AVX2 void run_avx2(const FusedDequantLinearArgs& a) { run<kAvx2Width>(a); }
void run_baseline(const FusedDequantLinearArgs& a) { run<kBaselineWidth>(a); }

}  // namespace

void fused_dequant_linear(const FusedDequantLinearArgs& args, Isa isa) {
  switch (isa) {
    case Isa::kAvx512:
      return run_avx512(args);
    case Isa::kAvx2:
      return run_avx2(args);
    case Isa::kBaseline:
      return run_baseline(args);
  }
}

}  // namespace thermoe::cpu
