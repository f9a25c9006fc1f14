// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_order.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

void order_by_expert(const std::int32_t* expert, int tokens, int slots, int experts,
                     ExpertOrder order) {
  const std::int32_t picks = tokens * slots;
  std::fill_n(order.first, experts + 1, 0);
  for (std::int32_t i = 0; i < picks; ++i) {
    THERMOE_EXPECT(expert[i] >= -1 && expert[i] < experts, "expert id {} is outside -1..{}",
                   expert[i], experts - 1);
    if (expert[i] >= 0) ++order.first[expert[i] + 1];
  }
  for (int e = 0; e < experts; ++e) order.first[e + 1] += order.first[e];
  // Each expert's start moves along as it fills, ends at the next one's, and is moved back.
  for (std::int32_t i = 0; i < picks; ++i) {
    if (expert[i] >= 0) order.pair[order.first[expert[i]]++] = i;
  }
  std::copy_backward(order.first, order.first + experts, order.first + experts + 1);
  order.first[0] = 0;
}

}  // namespace thermoe
