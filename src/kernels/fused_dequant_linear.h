// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/int4_weights.h"

namespace thermoe {

/// What happens to y = x W^T + bias before it is stored.
enum class Epilogue {
  kNone,
  kRelu,
  kGelu,     ///< tanh form: torch's gelu(approximate="tanh")
  kSiluMul,  ///< silu(y) * (x U^T + up_bias), U a second weight of the same shape
};

struct FusedDequantLinearArgs {
  const float* x = nullptr;  ///< [tokens, inputs] f32 row-major
  int tokens = 0;            ///< >= 0
  const Int4Weights* weights = nullptr;
  const float* bias = nullptr;  ///< [outputs] or null
  Epilogue epilogue = Epilogue::kNone;
  const Int4Weights* up = nullptr;  ///< kSiluMul only: same shape as `weights`
  const float* up_bias = nullptr;   ///< [outputs] or null; kSiluMul only
  float* out = nullptr;             ///< [tokens, outputs] f32 row-major, may not overlap x
};

/// Linear layer on int4 weights, unpacked in registers or to a buffer on the stack (up to 0.4 MiB):
/// the f32 matrix is never stored. Within a group x * (q - zero) is summed in the order of inputs,
/// then scale times that sum added to the bias, group by group (docs/adr/0006-int4-arithmetic.md):
/// a token's result does not depend on the other tokens of the call. Deterministic on one machine;
/// allocates nothing. Throws PreconditionError where shapes disagree or a pointer is missing.
void fused_dequant_linear(const FusedDequantLinearArgs& args);

}  // namespace thermoe
