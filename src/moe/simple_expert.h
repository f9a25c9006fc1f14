// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include "kernels/expert_bank.h"

namespace thermoe {

/// Shape of one expert. The plain kinds (ReLU, GELU in its tanh form) have biases if asked for.
struct ExpertOptions {
  int d_model = 0;
  int d_ff = 0;
  ExpertKind kind = ExpertKind::kSwiGlu;
  bool bias = false;
};

/// One expert as a module of its own, differentiable:
///   plain:  fc2(act(fc1 x))           fc1_weight [d_ff, d_model], fc2_weight [d_model, d_ff]
///   gated:  down(silu(gate x) * up x) gate_weight, up_weight [d_ff, d_model], down_weight
///   [d_model, d_ff]
class SimpleExpertImpl final : public torch::nn::Module {
 public:
  /// Random weights from torch's generator. Requires no bias for the gated kind.
  explicit SimpleExpertImpl(const ExpertOptions& options);

  /// x [n, d_model] -> [n, d_model].
  at::Tensor forward(const at::Tensor& x) const;

  const ExpertOptions& options() const { return options_; }
  /// Gated only; undefined for the plain kinds.
  const at::Tensor& gate() const { return gate_; }
  /// Also fc1 and fc2 of the plain kinds.
  const at::Tensor& up() const { return up_; }
  const at::Tensor& down() const { return down_; }
  /// Undefined where there is no bias.
  const at::Tensor& up_bias() const { return up_bias_; }
  const at::Tensor& down_bias() const { return down_bias_; }

 private:
  ExpertOptions options_;
  at::Tensor gate_;
  at::Tensor up_;
  at::Tensor down_;
  at::Tensor up_bias_;
  at::Tensor down_bias_;
};
TORCH_MODULE(SimpleExpert);

}  // namespace thermoe
