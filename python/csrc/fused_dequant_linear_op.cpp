// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include "core/named_values.h"
#include "device_call.h"
#include "int4_arguments.h"
#include "named_argument.h"
#include "ops.h"

namespace thermoe::torch_ops {
namespace {

constexpr NamedValues<Epilogue, 4> kEpilogues{{
    {Epilogue::kNone, "none"},
    {Epilogue::kRelu, "relu"},
    {Epilogue::kGelu, "gelu"},
    {Epilogue::kSiluMul, "silu_mul"},
}};

}  // namespace

Tensor fused_dequant_linear(Backend backend, const Tensor& x, const Int4Arguments& weights,
                            std::int64_t outputs, const OptionalTensor& bias,
                            const EpilogueArguments& epilogue) {
  const DeviceCall device(backend, x);
  const Arguments tensors(backend, x, "x");
  tensors.expect(x, "x", {DType::kF32, DType::kBf16, DType::kF16},
                 {Arguments::kAny, Arguments::kAny});
  const std::int64_t inputs = x.size(1);
  FusedDequantLinearArgs args{.x = x.data(),
                              .x_type = float_type(x.dtype()),
                              .tokens = to_int(x.size(0), "tokens"),
                              .weights = int4_view(tensors, weights, "", outputs, inputs),
                              .epilogue = named(kEpilogues, "epilogue", epilogue.name)};
  args.bias = static_cast<const float*>(tensors.expect(bias, "bias", DType::kF32, {outputs}));
  if (epilogue.up) args.up = int4_view(tensors, *epilogue.up, "up_", outputs, inputs);
  args.up_bias = static_cast<const float*>(
      tensors.expect(epilogue.up_bias, "up_bias", DType::kF32, {outputs}));
  Tensor out = empty(x, {x.size(0), outputs}, x.dtype());
  args.out = out.mutable_data();
  args.out_type = args.x_type;
  fused_dequant_linear(backend, args, device.stream());
  return out;
}

}  // namespace thermoe::torch_ops
