// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

namespace thermoe {

/// The picks of a batch sorted by expert, and differentiable ways there and back, on the tensors'
/// own device (kernels/permute_combine.h). Nothing waits for the device.
class ExpertRows {
 public:
  /// ids [tokens, slots] i32, -1 where a token takes fewer.
  ExpertRows(const at::Tensor& ids, std::int64_t experts);

  /// [tokens * slots, width]: the row of x [tokens, width] of each pick, an expert's beside each
  /// other; then zeros. x f32 or bf16.
  at::Tensor permute(const at::Tensor& x) const;
  /// [tokens, width]: the sum of a token's rows by weights [tokens, slots] f32. Rows that no pick
  /// fills, and weights of empty slots, are not read. Requires an earlier `permute`.
  at::Tensor combine(const at::Tensor& rows, const at::Tensor& weights) const;
  /// rows times each one's own expert's weights [experts, outputs, inputs], as at::linear. Rows
  /// that no pick fills hold anything.
  at::Tensor linear(const at::Tensor& rows, const at::Tensor& weights) const;

 private:
  at::Tensor ids_;    // [tokens, slots] i32
  at::Tensor first_;  // [experts + 1] i32
  at::Tensor pair_;   // [tokens * slots] i32
  at::Tensor row_;    // [tokens, slots] i32
};

}  // namespace thermoe
