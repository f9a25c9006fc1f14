// SPDX-License-Identifier: Apache-2.0
#include "cli/expert_costs.h"

#include <algorithm>

namespace thermoe {

const CostTable* expert_table(const KernelCostModel& costs, const RouterSpec& router,
                              const std::optional<std::string>& dtype) {
  const auto fits = [&](const CostTable& table) {
    const OpKey& key = table.key();
    return key.op == kExpertOp && key.shape[0] == router.experts && key.shape[1] == router.k &&
           key.dtype == dtype.value_or(key.dtype);
  };
  const auto found = std::ranges::find_if(costs.tables(), fits);
  return found == costs.tables().end() ? nullptr : &*found;
}

ExpertShape shape_of(const CostTable& experts, int layers) {
  const OpKey& key = experts.key();
  return {.name = to_string(key),
          .experts = key.shape[0],
          .top_k = key.shape[1],
          .d_model = key.shape[2],
          .d_ff = key.shape[3],
          .layers = layers};
}

std::vector<std::string> expert_ops(const KernelCostModel& costs) {
  std::vector<std::string> ops;
  for (const CostTable& table : costs.tables()) {
    if (table.key().op == kExpertOp) ops.push_back(to_string(table.key()));
  }
  return ops;
}

}  // namespace thermoe
