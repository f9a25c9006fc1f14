// SPDX-License-Identifier: Apache-2.0
#include "kernels/grouped_experts.h"

#include <algorithm>
#include <utility>

#include "kernels/cpu/activations.h"
#include "kernels/cpu/backends.h"
#include "kernels/cpu/panel_gemm.h"

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

/// Some of the tokens of one expert, at most kTokenBlock.
struct TokenBlock {
  const std::int32_t* token = nullptr;
  const float* weight = nullptr;
  int count = 0;
};

/// Everything that is the same for all experts of a call.
struct Layer {
  ExpertKind kind{};
  int d_model = 0;
  int padded_ff = 0;
  const float* x = nullptr;      // [tokens, d_model]
  float* activations = nullptr;  // [kTokenBlock, padded_ff]
  float* out = nullptr;          // [tokens, d_model]
};

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
    rows[i] = layer.x + static_cast<std::ptrdiff_t>(block.token[first + i]) * layer.d_model;
  }
}

/// activations = silu(gate x) * (up x): gate and up panels of the same outputs share a tile.
template <int W, class Matrix>
THERMOE_INLINE void gated_activations(const Layer& layer, const Expert<Matrix>& expert,
                                      const TokenBlock& block) {
  for (int p = 0; p < layer.padded_ff / kLanes; ++p) {
    for_each_tile<W>(
        block.count, [&](auto m, int first) __attribute__((always_inline)) {
          constexpr int M = decltype(m)::value;
          const float* rows[M];
          token_rows<M>(layer, block, first, rows);
          const typename Matrix::Panel panels[2] = {expert.gate.panel(p), expert.up.panel(p)};
          Tile<W, 2, M> tile;
          for (int i = 0; i < M; ++i) {
            tile[i][0] = splat<W>(0.0F);
            tile[i][1] = expert.up_bias ? load<W>(expert.up_bias + p * kLanes) : splat<W>(0.0F);
          }
          accumulate<W, 2, M>(panels, rows, layer.d_model, tile);
          for (int i = 0; i < M; ++i) {
            store(layer.activations + (first + i) * layer.padded_ff + p * kLanes,
                  silu(tile[i][0]) * tile[i][1]);
          }
        });
  }
}

/// activations = act(fc1 x + bias)
template <int W, class Matrix>
THERMOE_INLINE void plain_activations(const Layer& layer, const Expert<Matrix>& expert,
                                      const TokenBlock& block) {
  const int panels = layer.padded_ff / kLanes;
  for_each_panel_pair(
      panels, [&](auto v, int p) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        for_each_tile<W>(
            block.count, [&](auto m, int first) __attribute__((always_inline)) {
              constexpr int M = decltype(m)::value;
              const float* rows[M];
              token_rows<M>(layer, block, first, rows);
              typename Matrix::Panel weights[V];
              for (int j = 0; j < V; ++j) weights[j] = expert.up.panel(p + j);
              Tile<W, V, M> tile;
              start_tile<W, V, M>(expert.up_bias, p, tile);
              accumulate<W, V, M>(weights, rows, layer.d_model, tile);
              for (int i = 0; i < M; ++i) {
                for (int j = 0; j < V; ++j) {
                  const Floats<W> y = tile[i][j];
                  store(layer.activations + (first + i) * layer.padded_ff + (p + j) * kLanes,
                        layer.kind == ExpertKind::kRelu ? relu(y) : gelu(y));
                }
              }
            });
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
  const int panels = (layer.d_model + kLanes - 1) / kLanes;
  for_each_panel_pair(
      panels, [&](auto v, int p) __attribute__((always_inline)) {
        constexpr int V = decltype(v)::value;
        for_each_tile<W>(
            block.count, [&](auto m, int first) __attribute__((always_inline)) {
              constexpr int M = decltype(m)::value;
              const float* rows[M];
              for (int i = 0; i < M; ++i)
                rows[i] = layer.activations + (first + i) * layer.padded_ff;
              typename Matrix::Panel weights[V];
              for (int j = 0; j < V; ++j) weights[j] = expert.down.panel(p + j);
              Tile<W, V, M> tile;
              start_tile<W, V, M>(expert.down_bias, p, tile);
              accumulate<W, V, M>(weights, rows, expert.down.inputs, tile);
              for (int i = 0; i < M; ++i) {
                for (int j = 0; j < V; ++j) {
                  add_to_output(layer, block.token[first + i], p + j,
                                block.weight[first + i] * tile[i][j]);
                }
              }
            });
      });
}

template <int W, class Matrix>
THERMOE_INLINE void run(const Layer& layer, const Expert<Matrix>& expert, const TokenBlock& all) {
  constexpr int kBlock = GroupedExpertsWorkspace::kTokenBlock;
  for (int first = 0; first < all.count; first += kBlock) {
    const TokenBlock block{all.token + first, all.weight + first,
                           std::min(kBlock, all.count - first)};
    if (layer.kind == ExpertKind::kSwiGlu) {
      gated_activations<W>(layer, expert, block);
    } else {
      plain_activations<W>(layer, expert, block);
    }
    down<W>(layer, expert, block);
  }
}

Expert<F32Matrix> f32_expert(const ExpertBank& bank, int e) {
  const auto [d, ff] = std::pair(bank.shape().d_model, bank.shape().d_ff);
  const ExpertBank::F32Expert w = bank.f32(e);
  return {.gate = {w.gate, d},
          .up = {w.up, d},
          .down = {w.down, ff},
          .up_bias = bank.up_bias(e),
          .down_bias = bank.down_bias(e)};
}

Expert<Int4Matrix> int4_expert(const ExpertBank& bank, int e) {
  const auto [d, ff] = std::pair(bank.shape().d_model, bank.shape().d_ff);
  const Int4Expert& w = bank.int4(e);
  return {.gate = {&w.gate, d},
          .up = {&w.up, d},
          .down = {&w.down, ff},
          .up_bias = bank.up_bias(e),
          .down_bias = bank.down_bias(e)};
}

/// All experts of the call that have tokens, in order of id.
template <int W>
THERMOE_INLINE void run_experts(const GroupedExpertsArgs& a) {
  const ExpertBank& bank = *a.bank;
  GroupedExpertsWorkspace& w = *a.workspace;
  const Layer layer{.kind = bank.shape().kind,
                    .d_model = bank.shape().d_model,
                    .padded_ff = bank.padded_ff(),
                    .x = a.hidden,
                    .activations = w.hidden.data(),
                    .out = a.out};
  for (int e = 0; e < bank.shape().experts; ++e) {
    const auto row = static_cast<std::size_t>(e);
    const auto first = static_cast<std::size_t>(w.first[row]);
    const TokenBlock tokens{w.token.data() + first, w.weight.data() + first,
                            w.first[row + 1] - w.first[row]};
    if (tokens.count == 0) continue;
    const bool int4 = a.variant.empty() ? !bank.has_f32() : a.variant[row] == 1;
    if (int4) {
      run<W>(layer, int4_expert(bank, e), tokens);
    } else {
      run<W>(layer, f32_expert(bank, e), tokens);
    }
  }
}

THERMOE_TARGET_AVX512 void run_avx512(const GroupedExpertsArgs& a) { run_experts<kAvx512Width>(a); }
THERMOE_TARGET_AVX2 void run_avx2(const GroupedExpertsArgs& a) { run_experts<kAvx2Width>(a); }
void run_baseline(const GroupedExpertsArgs& a) { run_experts<kBaselineWidth>(a); }

}  // namespace

void grouped_experts(const GroupedExpertsArgs& args, Isa isa) {
  std::fill_n(args.out, static_cast<std::ptrdiff_t>(args.tokens) * args.bank->shape().d_model,
              0.0F);
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
