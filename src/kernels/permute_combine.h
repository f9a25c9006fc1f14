// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "kernels/expert_order.h"
#include "kernels/float_type.h"

namespace thermoe {

// Rows by token, rows by expert, and back: what lies around matrix products over each expert's own
// rows, with what training needs to go backwards. Everywhere: `type` is kF32 or kBf16; sums are f32
// in a fixed order, without atomics; pointers are to host memory for Backend::kCpu, to device
// memory otherwise. kCuda: asynchronous, allocates nothing, capturable. Throws PreconditionError
// for sizes out of range, a null pointer or another type; UsageError for kTriton, which has none.

/// rows[r] = x[t] for the pick t * slots + s at place r of the expert order; rows that no pick
/// fills are zeros.
struct PermuteArgs {
  const void* x = nullptr;  ///< [tokens, width] row-major
  FloatType type = FloatType::kF32;
  int tokens = 0;  ///< >= 0
  int width = 0;
  const std::int32_t* expert = nullptr;  ///< [tokens, slots] of topk_route; -1: empty slot
  int slots = 0;
  int experts = 0;
  ExpertOrder order{};          ///< of `expert`; read
  void* rows = nullptr;         ///< out [tokens * slots, width]
  std::int32_t* row = nullptr;  ///< out [tokens, slots]: a pick's row; -1: empty slot
};
void permute(Backend backend, const PermuteArgs& args, Stream stream);

/// out[t] = sum over t's slots, in their order, of weight * rows[row]; zeros for a token without
/// picks. Without weights it is what permute's gradient goes back by.
struct CombineArgs {
  const void* rows = nullptr;  ///< [tokens * slots, width]
  FloatType type = FloatType::kF32;
  int tokens = 0;
  int width = 0;
  const std::int32_t* row = nullptr;  ///< [tokens, slots] of permute
  int slots = 0;
  const float* weight = nullptr;  ///< [tokens, slots]; null: all 1
  void* out = nullptr;            ///< [tokens, width]
};
void combine(Backend backend, const CombineArgs& args, Stream stream);

/// The gradients of combine: grad_rows[row] = weight * grad_out[t], zeros in rows that no pick
/// fills, and grad_weight = rows[row] · grad_out[t], 0 for empty slots.
struct CombineBackwardArgs {
  const void* grad_out = nullptr;  ///< [tokens, width]
  const void* rows = nullptr;      ///< [tokens * slots, width], as combine read it
  FloatType type = FloatType::kF32;
  int tokens = 0;
  int width = 0;
  const std::int32_t* row = nullptr;  ///< [tokens, slots] of permute
  int slots = 0;
  const float* weight = nullptr;         ///< [tokens, slots]
  const std::int32_t* filled = nullptr;  ///< the number of filled rows: order.first + experts
  void* grad_rows = nullptr;             ///< out [tokens * slots, width]
  float* grad_weight = nullptr;          ///< out [tokens, slots]
};
void combine_backward(Backend backend, const CombineBackwardArgs& args, Stream stream);

}  // namespace thermoe
