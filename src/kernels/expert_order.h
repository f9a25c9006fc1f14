// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

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

}  // namespace thermoe
