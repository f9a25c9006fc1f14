// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/backend.h"
#include "kernels/float_type.h"
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
  const void* x = nullptr;  ///< [tokens, inputs] row-major, of x_type; CUDA: 16-byte aligned
  FloatType x_type = FloatType::kF32;
  int tokens = 0;               ///< >= 0
  Int4View weights{};           ///< CUDA: each array 16-byte aligned, as DeviceMemory is
  const float* bias = nullptr;  ///< [outputs] or null
  Epilogue epilogue = Epilogue::kNone;
  Int4View up{};                   ///< kSiluMul only: same shape as `weights`, own format
  const float* up_bias = nullptr;  ///< [outputs] or null; kSiluMul only
  void* out = nullptr;             ///< [tokens, outputs] row-major, of out_type; overlaps no input
  FloatType out_type = FloatType::kF32;
};

/// Linear layer on int4 weights, unpacked on the way to the arithmetic: the matrix is never stored.
/// Within a group x * (q - zero) is summed, then scale times that sum added to the bias, group by
/// group (docs/adr/0006-int4-arithmetic.md), and the epilogue applied, all in f32. A token's result
/// does not depend on the other tokens of the call. Deterministic on one machine; allocates
/// nothing. Throws PreconditionError where shapes disagree, a pointer is missing or the backend
/// does not take a type.
///
/// kCpu: x and out f32; inputs in order; up to 0.4 MiB of stack. kCuda: x bf16 or f16, out of any
/// type, one group for both weights of kSiluMul; asynchronous, capturable. From compute capability
/// 9.0 on, weights may be read while the kernel before this one in the stream still runs: they must
/// not be what it writes. kTriton: as kCuda, without kSiluMul.
void fused_dequant_linear(Backend backend, const FusedDequantLinearArgs& args, Stream stream);

}  // namespace thermoe
