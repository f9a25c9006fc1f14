// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include <cstdint>

#include "core/errors.h"
#include "kernels/cpu/backends.h"
#include "kernels/cuda/backends.h"
#include "kernels/triton/backends.h"

namespace thermoe {
namespace {

void check(const Int4View& w, const char* name) {
  THERMOE_EXPECT(w.words && w.scales && w.outputs > 0, "{} is null or empty", name);
  THERMOE_EXPECT(w.group == 32 || w.group == 64 || w.group == 128,
                 "{} has int4 groups of {}; supported are 32, 64 and 128", name, w.group);
  THERMOE_EXPECT(w.inputs > 0 && w.inputs % w.group == 0,
                 "{} has {} inputs, which its int4 groups of {} do not divide", name, w.inputs,
                 w.group);
}

void check(const FusedDequantLinearArgs& a) {
  check(a.weights, "weights");
  THERMOE_EXPECT(a.tokens >= 0, "tokens={} is negative", a.tokens);
  THERMOE_EXPECT(a.tokens == 0 || (a.x && a.out), "x or out is null");
  if (a.epilogue == Epilogue::kSiluMul) {
    check(a.up, "up");
    THERMOE_EXPECT(a.up.outputs == a.weights.outputs && a.up.inputs == a.weights.inputs,
                   "silu-mul needs a second weight of shape [{}, {}]", a.weights.outputs,
                   a.weights.inputs);
  } else {
    THERMOE_EXPECT(!a.up.words && !a.up_bias,
                   "up and up_bias belong to the silu-mul epilogue only");
  }
}

bool aligned(const void* pointer) { return reinterpret_cast<std::uintptr_t>(pointer) % 16 == 0; }

void check_for_device(const FusedDequantLinearArgs& a) {
  THERMOE_EXPECT(a.x_type != FloatType::kF32,
                 "on CUDA x of fused_dequant_linear is bf16 or f16, not f32");
  THERMOE_EXPECT(aligned(a.x), "x is not aligned to 16 bytes");
  for (const Int4View& w : {a.weights, a.up}) {
    THERMOE_EXPECT(aligned(w.words) && aligned(w.scales) && aligned(w.zero_points),
                   "int4 weights are not aligned to 16 bytes");
  }
}

void check_for_cuda(const FusedDequantLinearArgs& a) {
  check_for_device(a);
  THERMOE_EXPECT(a.epilogue != Epilogue::kSiluMul || a.up.group == a.weights.group,
                 "on CUDA both weights of silu-mul have one int4 group, not {} and {}",
                 a.weights.group, a.up.group);
}

void check_for_triton(const FusedDequantLinearArgs& a) {
  check_for_device(a);
  THERMOE_EXPECT(a.epilogue != Epilogue::kSiluMul,
                 "the backend triton has no silu-mul epilogue; use the backend cuda");
}

}  // namespace

void fused_dequant_linear(Backend backend, const FusedDequantLinearArgs& args, Stream stream) {
  check(args);
  switch (backend) {
    case Backend::kCpu:
      THERMOE_EXPECT(args.x_type == FloatType::kF32 && args.out_type == FloatType::kF32,
                     "on the CPU x and out of fused_dequant_linear are f32");
      return cpu::fused_dequant_linear(args, cpu::best_isa());
    case Backend::kCuda:
      check_for_cuda(args);
      return cuda::fused_dequant_linear(args, stream);
    case Backend::kTriton:
      check_for_triton(args);
      return triton::fused_dequant_linear(args, stream);
  }
}

}  // namespace thermoe
