// SPDX-License-Identifier: Apache-2.0
#include "moe/quantized_expert.h"

#include "core/errors.h"
#include "kernels/expert_epilogue.h"
#include "kernels/fused_dequant_linear.h"

namespace thermoe {
namespace {

at::Tensor on_cpu(const at::Tensor& t) { return t.detach().to(at::kCPU, at::kFloat).contiguous(); }

Int4Weights quantise(const at::Tensor& weight, Int4Format format) {
  const at::Tensor w = on_cpu(weight);
  return quantise_int4(w.const_data_ptr<float>(), static_cast<int>(w.size(0)),
                       static_cast<int>(w.size(1)), format);
}

const float* data_or_null(const at::Tensor& t) {
  return t.defined() ? t.const_data_ptr<float>() : nullptr;
}

}  // namespace

QuantizedExpert::QuantizedExpert(const SimpleExpert& expert, Int4Format format)
    : options_(expert->options()),
      up_(quantise(expert->up(), format)),
      down_(quantise(expert->down(), format)) {
  if (expert->gate().defined()) gate_ = quantise(expert->gate(), format);
  if (expert->up_bias().defined()) {
    up_bias_ = on_cpu(expert->up_bias()).clone();
    down_bias_ = on_cpu(expert->down_bias()).clone();
  }
}

at::Tensor QuantizedExpert::forward(const at::Tensor& x) const {
  THERMOE_EXPECT(x.dim() == 2 && x.size(1) == options_.d_model, "x must be [n, {}]",
                 options_.d_model);
  THERMOE_EXPECT(x.device().is_cpu() && x.scalar_type() == at::kFloat, "x must be f32 on the CPU");
  const at::Tensor input = x.detach().contiguous();
  const int tokens = static_cast<int>(x.size(0));
  const at::Tensor hidden = at::empty({tokens, options_.d_ff});
  const at::Tensor out = at::empty({tokens, options_.d_model});
  const bool gated = options_.kind == ExpertKind::kSwiGlu;
  fused_dequant_linear({.x = input.const_data_ptr<float>(),
                        .tokens = tokens,
                        .weights = gated ? &gate_ : &up_,
                        .bias = data_or_null(up_bias_),
                        .epilogue = epilogue_of(options_.kind),
                        .up = gated ? &up_ : nullptr,
                        .out = hidden.mutable_data_ptr<float>()});
  fused_dequant_linear({.x = hidden.const_data_ptr<float>(),
                        .tokens = tokens,
                        .weights = &down_,
                        .bias = data_or_null(down_bias_),
                        .out = out.mutable_data_ptr<float>()});
  return out;
}

std::size_t QuantizedExpert::byte_size() const {
  const std::size_t gate = options_.kind == ExpertKind::kSwiGlu ? gate_.byte_size() : 0;
  return gate + up_.byte_size() + down_.byte_size();
}

}  // namespace thermoe
