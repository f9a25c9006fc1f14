// SPDX-License-Identifier: Apache-2.0
#include "kernels/expert_order.h"

#include <algorithm>

#include "core/errors.h"
#include "kernels/cuda/backends.h"

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

std::size_t order_by_expert_workspace(Backend backend, int tokens, int slots, int experts) {
  return backend == Backend::kCuda ? cuda::order_by_expert_workspace(tokens, slots, experts) : 0;
}

void order_by_expert(Backend backend, const OrderByExpertArgs& a, Stream stream) {
  THERMOE_EXPECT(a.tokens >= 0 && a.slots >= 1, "tokens={} or slots={} is out of range", a.tokens,
                 a.slots);
  THERMOE_EXPECT(std::int64_t{a.tokens} * a.slots <= INT32_MAX,
                 "tokens={} x slots={} is more than {}", a.tokens, a.slots, INT32_MAX);
  THERMOE_EXPECT(1 <= a.experts && a.experts <= OrderByExpertArgs::kMostOrderedExperts,
                 "experts={} is not in 1..{}", a.experts, OrderByExpertArgs::kMostOrderedExperts);
  THERMOE_EXPECT(a.order.first && (a.tokens == 0 || (a.expert && a.order.pair)),
                 "expert or order is null");
  const std::size_t size = order_by_expert_workspace(backend, a.tokens, a.slots, a.experts);
  THERMOE_EXPECT(a.workspace_size >= size && (a.workspace || size == 0),
                 "a workspace of {} bytes; {} are needed", a.workspace_size, size);
  switch (backend) {
    case Backend::kCpu:
      return order_by_expert(a.expert, a.tokens, a.slots, a.experts, a.order);
    case Backend::kCuda:
      return cuda::order_by_expert(a, stream);
    case Backend::kTriton:
      throw UsageError("order_by_expert has no Triton kernel");
  }
}

}  // namespace thermoe
