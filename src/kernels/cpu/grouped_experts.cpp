// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/backends.h"
#include "kernels/cpu/epilogue.h"
#include "kernels/cpu/panel_gemm.h"
#include "kernels/expert_epilogue.h"

namespace thermoe::cpu {
namespace {

/// One expert's matrices, f32 or int4. Biases are padded to whole panels, or null.
template <class Matrix>
struct Expert {
  Matrix gate;
  Matrix up;
  Matrix down;
  const float* up_bias = nullptr;
  const float* down_bias = nullptr;
};

/// Tokens of one expert that go through both its matrices together, so that activations stay in L1.
constexpr int kTokenBlock = 32;

/// Some of the picks of one expert, at most kTokenBlock.
struct TokenBlock {
  const std::int32_t* pair = nullptr;  // token * slots + slot
  int count = 0;
};

/// Everything that is the same for all experts of a call.
struct Layer {
  ExpertKind kind{};
  int d_model = 0;
  int d_ff = 0;
  int padded_ff = 0;
  int slots = 0;
  const float* x = nullptr;       // [tokens, d_model]
  const float* weight = nullptr;  // [tokens, slots]
  float* activations = nullptr;   // [kTokenBlock, padded_ff]
  float* out = nullptr;           // [tokens, d_model]
};

/// Bias of V panels from p on, padded to whole panels; zeros where there is none.
template <int W, int V, int M>
THERMOE_INLINE void start_tile(const float* bias, int p, Tile<W, V, M>& tile) {
  for (int i = 0; i < M; ++i) {
    for (int j = 0; j < V; ++j) {
      tile[i][j] = bias ? load<W>(bias + (p + j) * kLanes) : splat<W>(0.0F);
    }
  }
}

template <int M>
THERMOE_INLINE void token_rows(const Layer& layer, const TokenBlock& block, int first,
                               const float* (&rows)[M]) {
  for (int i = 0; i < M; ++i) {
    const int token = block.pair[first + i] / layer.slots;
    rows[i] = layer.x + static_cast<std::ptrdiff_t>(token) * layer.d_model;
  }
}

/// activations = silu(gate x) * (up x) for N panels of outputs from p on. The gate and up panels
/// share a tile: experts are narrow, and alone they would leave too few sums under way.
template <int W, int N, int M, class Matrix>
THERMOE_INLINE void gated_tile(const Layer& layer, const Expert<Matrix>& expert,
                               const TokenBlock& block, int p, int first) {
  const float* rows[M];
  token_rows<M>(layer, block, first, rows);
  typename Matrix::Panel panels[2 * N];
  Tile<W, 2 * N, M> tile;
  for (int j = 0; j < N; ++j) {
    panels[2 * j] = expert.gate.panel(p + j);
    panels[2 * j + 1] = expert.up.panel(p + j);
    const Floats<W> bias =
        expert.up_bias ? load<W>(expert.up_bias + (p + j) * kLanes) : splat<W>(0.0F);
    for (int i = 0; i < M; ++i) {
      tile[i][2 * j] = splat<W>(0.0F);
      tile[i][2 * j + 1] = bias;
    }
  }
  TileKernel<W>::template add<2 * N, M>(panels, rows, layer.d_model, tile);
#pragma GCC unroll 1
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 1
    for (int j = 0; j < N; ++j) {
      store(layer.activations + (first + i) * layer.padded_ff + (p + j) * kLanes,
            silu(tile[i][2 * j]) * tile[i][2 * j + 1]);
    }
  }
}

/// Most tokens beside two panels at least, a gate's and an up's.
template <int W>
constexpr int kGatedTokens = W == kAvx512Width ? 8
                             : W == kAvx2Width ? 2
                                               : 1;

template <int W, class Matrix>
THERMOE_INLINE void gated_activations(const Layer& layer, const Expert<Matrix>& expert,
                                      const TokenBlock& block) {
  constexpr int kPairs = kBlockPanels<W> / 2;
  const int panels = layer.padded_ff / kLanes;
  int p = 0;
  for (; p + kPairs <= panels; p += kPairs) {
    for_each_token_tile<kGatedTokens<W>>(
        block.count, [&](auto m, int first) __attribute__((always_inline)) {
          constexpr int M = decltype(m)::value;
          constexpr int N = M > 4 ? 1 : kPairs;
          for (int j = 0; j < kPairs; j += N)
            gated_tile<W, N, M>(layer, expert, block, p + j, first);
        });
  }
  for (; p < panels; ++p) {
    for_each_token_tile<kGatedTokens<W>>(
        block.count, [&](auto m, int first) __attribute__((always_inline)) {
          gated_tile<W, 1, decltype(m)::value>(layer, expert, block, p, first);
        });
  }
}

/// activations = act(fc1 x + bias)
template <int W, class Matrix>
THERMOE_INLINE void plain_activations(const Layer& layer, const Expert<Matrix>& expert,
                                      const TokenBlock& block) {
  const Epilogue epilogue = epilogue_of(layer.kind);
  for_each_tile<W>(
      layer.padded_ff / kLanes,
      block.count, [&](auto v, int p, auto m, int first) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        constexpr int M = decltype(m)::value;
        const float* rows[M];
        token_rows<M>(layer, block, first, rows);
        typename Matrix::Panel weights[V];
        for (int j = 0; j < V; ++j) weights[j] = expert.up.panel(p + j);
        Tile<W, V, M> tile;
        start_tile<W, V, M>(expert.up_bias, p, tile);
        TileKernel<W>::template add<V, M>(weights, rows, layer.d_model, tile);
#pragma GCC unroll 1
        for (int i = 0; i < M; ++i) {
#pragma GCC unroll 1
          for (int j = 0; j < V; ++j) {
            store(layer.activations + (first + i) * layer.padded_ff + (p + j) * kLanes,
                  apply(epilogue, tile[i][j]));
          }
        }
      });
}

/// out[token] += weight * value, panel p
template <int W>
THERMOE_INLINE void add_to_output(const Layer& layer, int token, int p, const Floats<W>& value) {
  float* to = layer.out + static_cast<std::ptrdiff_t>(token) * layer.d_model + p * kLanes;
  if ((p + 1) * kLanes <= layer.d_model) {
    store(to, load<W>(to) + value);
  } else {
    float lanes[kLanes];
    store(lanes, value);
    for (int i = 0; p * kLanes + i < layer.d_model; ++i) to[i] += lanes[i];
  }
}

template <int W, class Matrix>
THERMOE_INLINE void down(const Layer& layer, const Expert<Matrix>& expert,
                         const TokenBlock& block) {
  for_each_tile<W>(
      (layer.d_model + kLanes - 1) / kLanes,
      block.count, [&](auto v, int p, auto m, int first) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        constexpr int M = decltype(m)::value;
        const float* rows[M];
        for (int i = 0; i < M; ++i) rows[i] = layer.activations + (first + i) * layer.padded_ff;
        typename Matrix::Panel weights[V];
        for (int j = 0; j < V; ++j) weights[j] = expert.down.panel(p + j);
        Tile<W, V, M> tile;
        start_tile<W, V, M>(expert.down_bias, p, tile);
        TileKernel<W>::template add<V, M>(weights, rows, layer.d_ff, tile);
#pragma GCC unroll 1
        for (int i = 0; i < M; ++i) {
          const std::int32_t pair = block.pair[first + i];
#pragma GCC unroll 1
          for (int j = 0; j < V; ++j) {
            add_to_output<W>(layer, pair / layer.slots, p + j, layer.weight[pair] * tile[i][j]);
          }
        }
      });
}

template <int W, class Matrix>
THERMOE_INLINE void run(const Layer& layer, const Expert<Matrix>& expert, const TokenBlock& all) {
  for (int first = 0; first < all.count; first += kTokenBlock) {
    const TokenBlock block{all.pair + first, std::min(kTokenBlock, all.count - first)};
    if (layer.kind == ExpertKind::kSwiGlu) {
      gated_activations<W>(layer, expert, block);
    } else {
      plain_activations<W>(layer, expert, block);
    }
    down<W>(layer, expert, block);
  }
}

template <class Matrix>
Expert<Matrix> with_biases(Expert<Matrix> expert, const ExpertBankView& bank, int e) {
  const auto row = static_cast<std::ptrdiff_t>(e);
  if (bank.up_bias) expert.up_bias = bank.up_bias + row * bank.shape.padded_ff();
  if (bank.down_bias) expert.down_bias = bank.down_bias + row * bank.shape.padded_model();
  return expert;
}

/// Of F32Matrix or Bf16Matrix.
template <class Matrix, class Weights>
Expert<Matrix> panel_expert(const Weights& w, const ExpertBankView& bank, int e) {
  const auto [d, ff] = std::pair(bank.shape.d_model, bank.shape.d_ff);
  return with_biases<Matrix>(
      {.gate = {w.gate.of(e), d}, .up = {w.up.of(e), d}, .down = {w.down.of(e), ff}}, bank, e);
}

template <bool kZeros>
Expert<Int4Matrix<kZeros>> int4_expert(const ExpertBankView& bank, int e) {
  const ExpertWeights<Int4Matrices>& w = bank.int4;
  return with_biases<Int4Matrix<kZeros>>(
      {.gate = {w.gate.of(e)}, .up = {w.up.of(e)}, .down = {w.down.of(e)}}, bank, e);
}

/// All experts of the call that have tokens, in order of id.
template <int W>
THERMOE_INLINE void run_experts(const GroupedExpertsArgs& a) {
  const ExpertBankView& bank = a.bank;
  const Layer layer{.kind = bank.shape.kind,
                    .d_model = bank.shape.d_model,
                    .d_ff = bank.shape.d_ff,
                    .padded_ff = bank.shape.padded_ff(),
                    .slots = a.slots,
                    .x = static_cast<const float*>(a.hidden),
                    .weight = a.weight,
                    .activations = reinterpret_cast<float*>(a.workspace),
                    .out = static_cast<float*>(a.out)};
  for (int e = 0; e < bank.shape.experts; ++e) {
    const TokenBlock tokens{a.order.pair + a.order.first[e],
                            a.order.first[e + 1] - a.order.first[e]};
    if (tokens.count == 0) continue;
    const bool int4 = a.variant ? a.variant[e] == 1 : !bank.holds(0);
    if (!int4 && bank.has_bf16()) {
      run<W>(layer, panel_expert<Bf16Matrix>(bank.bf16, bank, e), tokens);
    } else if (!int4) {
      run<W>(layer, panel_expert<F32Matrix>(bank.f32, bank, e), tokens);
    } else if (bank.int4.up.first.zero_points) {
      run<W>(layer, int4_expert<true>(bank, e), tokens);
    } else {
      run<W>(layer, int4_expert<false>(bank, e), tokens);
    }
  }
}

THERMOE_TARGET_AVX512 void run_avx512(const GroupedExpertsArgs& a) { run_experts<kAvx512Width>(a); }
THERMOE_TARGET_AVX2 void run_avx2(const GroupedExpertsArgs& a) { run_experts<kAvx2Width>(a); }
void run_baseline(const GroupedExpertsArgs& a) { run_experts<kBaselineWidth>(a); }

}  // namespace

std::size_t grouped_experts_workspace(const ExpertLayerShape& shape) {
  return sizeof(float) * kTokenBlock * static_cast<std::size_t>(shape.padded_ff());
}

void grouped_experts(const GroupedExpertsArgs& args, Isa isa) {
  if (args.tokens == 0) return;
  std::fill_n(static_cast<float*>(args.out),
              static_cast<std::ptrdiff_t>(args.tokens) * args.bank.shape.d_model, 0.0F);
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
