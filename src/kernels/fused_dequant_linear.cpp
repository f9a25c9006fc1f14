// SPDX-License-Identifier: Apache-2.0
#include "kernels/fused_dequant_linear.h"

#include "core/errors.h"
#include "kernels/cpu/backends.h"

namespace thermoe {

void fused_dequant_linear(const FusedDequantLinearArgs& args) {
  THERMOE_EXPECT(args.weights && args.weights->outputs() > 0, "weights is null or empty");
  THERMOE_EXPECT(args.tokens >= 0, "tokens={} is negative", args.tokens);
  THERMOE_EXPECT(args.tokens == 0 || (args.x && args.out), "x or out is null");
  if (args.epilogue == Epilogue::kSiluMul) {
    THERMOE_EXPECT(args.up && args.up->outputs() == args.weights->outputs() &&
                       args.up->inputs() == args.weights->inputs(),
                   "silu-mul needs a second weight of shape [{}, {}]", args.weights->outputs(),
                   args.weights->inputs());
  } else {
    THERMOE_EXPECT(!args.up && !args.up_bias,
                   "up and up_bias belong to the silu-mul epilogue only");
  }
  cpu::fused_dequant_linear(args, cpu::best_isa());
}

}  // namespace thermoe
