// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/router_spec.h"
#include "cost/kernel_cost_model.h"

namespace thermoe {

inline constexpr const char* kExpertOp = "moe_experts";

/// The cost model's expert layers of the model's router, of this precision or the first that fits;
/// null where it has none.
const CostTable* expert_table(const KernelCostModel& costs, const RouterSpec& router,
                              const std::optional<std::string>& dtype);
/// What such a table is of, in a model of so many MoE layers.
ExpertShape shape_of(const CostTable& experts, int layers);
/// All expert layers that it has, for messages.
std::vector<std::string> expert_ops(const KernelCostModel& costs);

}  // namespace thermoe
