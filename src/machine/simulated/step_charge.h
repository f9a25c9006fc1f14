// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/routing_plan.h"
#include "core/routing_stats.h"
#include "cost/kernel_cost_model.h"

namespace thermoe {

/// What the simulated machine charges for a decode step of the model that decides.
struct PlantCharge {
  const KernelCostModel& costs;       ///< the plant's own, not the controller's
  ExpertShape shape{};                ///< `costed_as`
  std::vector<std::string> dtypes{};  ///< one a precision variant
  double layer_repeat = 1.0;          ///< charged layers a modelled layer stands for
  Lookup other{};                     ///< of a step beside its expert layers; nothing where unknown
};

/// Cost of one step with these loads: `other`, and each layer looked up by its tokens and distinct
/// experts; a layer of mixed precision pays each precision's price for its share of the active
/// experts. The basis is the weakest of the lookups.
Lookup step_charge(const PlantCharge& charge, const RoutingStats& stats, const RoutingPlan& plan);

}  // namespace thermoe
