// SPDX-License-Identifier: Apache-2.0
#include "kernels/unfused.h"

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cuda/backends.h"

namespace thermoe {

void expert_activation(Backend backend, const ExpertActivationArgs& args, Stream stream) {
  THERMOE_EXPECT(args.tokens >= 1 && args.width >= 1, "tokens={} or width={} is out of range",
                 args.tokens, args.width);
  const bool gated = args.kind == ExpertKind::kSwiGlu;
  THERMOE_EXPECT(args.up && args.out && gated == (args.gate != nullptr),
                 "up or out is null, or a gate is missing or not wanted");
  switch (backend) {
    case Backend::kCpu:
      THERMOE_EXPECT(args.type == FloatType::kF32, "the cpu backend's activations are f32");
      return cpu::expert_activation(args);
    case Backend::kCuda:
      THERMOE_EXPECT(args.type != FloatType::kF16, "expert_activation takes f32 and bf16, not f16");
      return cuda::expert_activation(args, stream);
    case Backend::kTriton:
      throw UsageError("expert_activation has no Triton kernel; use the backend cuda");
  }
}

void dequant_unpack(Backend backend, const DequantUnpackArgs& args, Stream stream) {
  const Int4View& w = args.weights;
  THERMOE_EXPECT(w.words && w.scales && args.out, "weights or out is null");
  THERMOE_EXPECT(w.outputs >= 1 && w.inputs >= 1 && w.group >= 1 && w.inputs % w.group == 0,
                 "[{}, {}] in groups of {} is no int4 matrix", w.outputs, w.inputs, w.group);
  switch (backend) {
    case Backend::kCpu:
      THERMOE_EXPECT(args.type == FloatType::kF32, "the cpu backend unpacks to f32");
      return cpu::dequant_unpack(args);
    case Backend::kCuda:
      THERMOE_EXPECT(args.type == FloatType::kBf16, "the cuda backend unpacks to bf16");
      return cuda::dequant_unpack(args, stream);
    case Backend::kTriton:
      throw UsageError("dequant_unpack has no Triton kernel; use the backend cuda");
  }
}

}  // namespace thermoe
