// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <cstddef>

#include "kernels/int4_weights.h"
#include "moe/simple_expert.h"

namespace thermoe {

/// A SimpleExpert with its weights rounded to int4 groups (biases stay f32), for inference on the
/// CPU. The int4 weights are unpacked in registers while they are used
/// (kernels/fused_dequant_linear.h).
class QuantizedExpert {
 public:
  /// Requires format.group (32, 64 or 128) to divide d_model and d_ff.
  QuantizedExpert(const SimpleExpert& expert, Int4Format format);

  /// x [n, d_model] f32 on the CPU -> [n, d_model]. No gradient.
  at::Tensor forward(const at::Tensor& x) const;

  const ExpertOptions& options() const { return options_; }
  /// Empty for the plain kinds.
  const Int4Weights& gate() const { return gate_; }
  const Int4Weights& up() const { return up_; }
  const Int4Weights& down() const { return down_; }
  /// Bytes of the packed weights, scales and zero points.
  std::size_t byte_size() const;

 private:
  ExpertOptions options_;
  Int4Weights gate_;
  Int4Weights up_;
  Int4Weights down_;
  at::Tensor up_bias_;
  at::Tensor down_bias_;
};

}  // namespace thermoe
