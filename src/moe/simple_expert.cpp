// SPDX-License-Identifier: Apache-2.0
#include "moe/simple_expert.h"

#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

at::Tensor random_weight(int outputs, int inputs) {
  return at::randn({outputs, inputs}) / std::sqrt(static_cast<double>(inputs));
}

}  // namespace

SimpleExpertImpl::SimpleExpertImpl(const ExpertOptions& options) : options_(options) {
  const bool gated = options.kind == ExpertKind::kSwiGlu;
  THERMOE_EXPECT(options.d_model >= 1 && options.d_ff >= 1,
                 "d_model={} and d_ff={} must be positive", options.d_model, options.d_ff);
  THERMOE_EXPECT(!(gated && options.bias), "a gated expert has no biases");
  const int d = options.d_model;
  const int f = options.d_ff;
  if (gated) gate_ = register_parameter("gate_weight", random_weight(f, d));
  up_ = register_parameter(gated ? "up_weight" : "fc1_weight", random_weight(f, d));
  down_ = register_parameter(gated ? "down_weight" : "fc2_weight", random_weight(d, f));
  if (options.bias) {
    up_bias_ = register_parameter("fc1_bias", at::zeros({f}));
    down_bias_ = register_parameter("fc2_bias", at::zeros({d}));
  }
}

at::Tensor SimpleExpertImpl::forward(const at::Tensor& x) const {
  THERMOE_EXPECT(x.dim() == 2 && x.size(1) == options_.d_model, "x must be [n, {}]",
                 options_.d_model);
  const at::Tensor first = at::linear(x, up_, up_bias_);
  at::Tensor hidden;
  switch (options_.kind) {
    case ExpertKind::kSwiGlu:
      hidden = at::silu(at::linear(x, gate_)) * first;
      break;
    case ExpertKind::kRelu:
      hidden = at::relu(first);
      break;
    case ExpertKind::kGelu:
      hidden = at::gelu(first, "tanh");
      break;
  }
  return at::linear(hidden, down_, down_bias_);
}

}  // namespace thermoe
