// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include "moe/model_config.h"

namespace thermoe {

/// The f32 experts of one layer, stacked and differentiable: what training trains and checkpoints
/// hold. Expert e computes down_e(silu(gate_e x) * (up_e x)). Inference runs the same weights, or
/// their int4 rounding (kernels/quantized_expert.h), through kernels/grouped_experts.h.
struct SimpleExpert {
  at::Tensor gate{};  ///< [E, d_ff, d_model]
  at::Tensor up{};    ///< [E, d_ff, d_model]
  at::Tensor down{};  ///< [E, d_model, d_ff]

  /// Random weights from torch's generator, sized for a layer of `config`.
  static SimpleExpert random(const ModelConfig& config);

  /// sum over e of gates[t, e] * expert_e(x[t]). x [tokens, d_model], gates [tokens, E] f32, zero
  /// where a token does not take the expert; result [tokens, d_model] f32. Computes all experts as
  /// one wide masked feed-forward in `compute`: exact, plain matrix products, no gathers (whose
  /// backward sorts).
  at::Tensor forward(const at::Tensor& x, const at::Tensor& gates,
                     at::ScalarType compute = at::kFloat) const;

  /// The same from picks: ids [tokens, slots] i32, -1 where a token takes fewer, and their weights
  /// [tokens, slots] f32. Computes each expert on its own tokens' rows (moe/expert_rows.h): k / E
  /// of the wide form's work, which it falls back to where rows are no whole 16 bytes. On CUDA
  /// nothing waits for the device in bf16; in f32 LibTorch's grouped product fetches the experts'
  /// counts.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& ids, const at::Tensor& weights,
                     at::ScalarType compute = at::kFloat) const;
};

}  // namespace thermoe
