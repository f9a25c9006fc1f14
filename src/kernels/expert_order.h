// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "kernels/backend.h"

namespace thermoe {

/// The picks of a batch sorted by expert: those of expert e are pair[first[e] .. first[e + 1]),
/// each token * slots + slot, ascending. Empty slots are not in it. Views of the caller's memory.
struct ExpertOrder {
  std::int32_t* first = nullptr;  ///< [experts + 1]
  std::int32_t* pair = nullptr;   ///< [tokens * slots]; the first `first[experts]` are in use
};

/// Sorts expert [tokens, slots] (-1: empty slot), all in host memory. Throws PreconditionError for
/// ids outside -1..experts-1.
void order_by_expert(const std::int32_t* expert, int tokens, int slots, int experts,
                     ExpertOrder order);

/// For picks that topk_route did not make, and so did not order. Pointers are to host memory for
/// Backend::kCpu, to device memory otherwise.
struct OrderByExpertArgs {
  const std::int32_t* expert = nullptr;  ///< [tokens, slots]; -1: empty slot
  int tokens = 0;                        ///< >= 0
  int slots = 0;
  int experts = 0;                 ///< 1..kMostOrderedExperts
  ExpertOrder order{};             ///< out
  std::byte* workspace = nullptr;  ///< scratch memory, aligned to 4 bytes
  std::size_t workspace_size = 0;  ///< at least order_by_expert_workspace(...)

  static constexpr int kMostOrderedExperts = 1024;
};

/// Bytes of scratch memory for calls of up to so many tokens, slots and experts.
std::size_t order_by_expert_workspace(Backend backend, int tokens, int slots, int experts);

/// A counting sort: no comparisons, the same order each time. kCuda: asynchronous, allocates
/// nothing, capturable; an id outside 0..experts-1 is an empty slot. Throws PreconditionError for
/// sizes out of range, a null pointer, too small a workspace, and on the CPU for such an id but -1;
/// UsageError for kTriton, which has none.
void order_by_expert(Backend backend, const OrderByExpertArgs& args, Stream stream);

}  // namespace thermoe
