// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/backend.h"
#include "kernels/expert_bank_view.h"
#include "kernels/float_type.h"
#include "kernels/int4_weights.h"

namespace thermoe {

// What the fused kernels do within themselves, as ops of their own: a profile shows by them what
// fusing saves. Inference calls none of them. Pointers are to host memory for Backend::kCpu, to
// device memory otherwise. kCpu: f32, single-threaded. kCuda: asynchronous, capturable. Nothing is
// allocated. Throw PreconditionError for sizes below 1, a null pointer or a type that the backend
// does not take; UsageError for kTriton, which has none.

/// out[t][i] = silu(gate) * up, or relu(up), or gelu(up), by the kind of expert.
struct ExpertActivationArgs {
  ExpertKind kind = ExpertKind::kSwiGlu;
  const void* gate = nullptr;        ///< [tokens, width]; kSwiGlu only, else null
  const void* up = nullptr;          ///< [tokens, width]
  FloatType type = FloatType::kF32;  ///< of all three; kCuda: f32 or bf16
  int tokens = 0;
  int width = 0;
  void* out = nullptr;  ///< [tokens, width]
};
void expert_activation(Backend backend, const ExpertActivationArgs& args, Stream stream);

/// The matrix that int4 weights stand for, written out.
struct DequantUnpackArgs {
  Int4View weights{};
  void* out = nullptr;               ///< [outputs, inputs] row-major; kCuda: aligned to 16 bytes
  FloatType type = FloatType::kF32;  ///< of `out`; kCpu: f32, kCuda: bf16
};
void dequant_unpack(Backend backend, const DequantUnpackArgs& args, Stream stream);

}  // namespace thermoe
