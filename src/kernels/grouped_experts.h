// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"
#include "kernels/expert_bank_view.h"
#include "kernels/expert_order.h"
#include "kernels/float_type.h"

namespace thermoe {

/// One layer's experts on one batch. Pointers are to host memory for Backend::kCpu, to device
/// memory otherwise.
struct GroupedExpertsArgs {
  ExpertBankView bank{};         ///< ExpertBank's, on a device DeviceExpertBank's
  const void* hidden = nullptr;  ///< [tokens, d_model] row-major, aligned to 16 bytes
  FloatType hidden_type = FloatType::kF32;
  int tokens = 0;                        ///< >= 0
  const std::int32_t* expert = nullptr;  ///< [tokens, slots] of topk_route; -1: empty slot
  const float* weight = nullptr;         ///< [tokens, slots]
  int slots = 0;
  ExpertOrder order{};                    ///< of `expert`; read
  const std::uint8_t* variant = nullptr;  ///< [experts], 0 = f32 or bf16, 1 = int4, as a plan's
                                          ///< view has it; null: all the bank's first (variant 0 if
                                          ///< it has it)
  std::byte* workspace = nullptr;         ///< scratch memory, aligned to 64 bytes
  std::size_t workspace_size = 0;         ///< at least grouped_experts_workspace(...)
  void* out = nullptr;  ///< [tokens, d_model], overwritten; may not overlap hidden
  FloatType out_type = FloatType::kF32;
};

/// Bytes of scratch memory for calls of up to so many tokens and slots.
std::size_t grouped_experts_workspace(Backend backend, const ExpertLayerShape& shape, int tokens,
                                      int slots);

/// out[t] = sum over t's slots of weight * expert(hidden[t]); a token without experts gets zeros.
///
/// A token's experts are summed in order of id, so its result depends on its own picks only, not on
/// the batch. An expert without tokens costs nothing: no weight of it is read. Deterministic on one
/// machine. Throws PreconditionError for shapes that disagree, a null pointer or too small a
/// workspace.
///
/// kCpu: f32 in and out; single-threaded. Throws PreconditionError too for ids outside
/// -1..experts-1, an order that is not theirs, or a variant that the bank does not hold.
/// kCuda: bf16 or int4 weights; any type in and out. `hidden` is rounded to bf16 as it is read, and
/// an expert's activations between its matrices are; sums are f32. Asynchronous, allocates nothing,
/// capturable. What the host cannot read it does not check: ids and order must be topk_route's
/// (without fill_slots), and an expert whose variant the bank does not hold runs in the other one.
/// UsageError for kTriton, which has none.
void grouped_experts(Backend backend, const GroupedExpertsArgs& args, Stream stream);

}  // namespace thermoe
