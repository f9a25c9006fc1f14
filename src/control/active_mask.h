// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "control/utilities.h"
#include "core/routing_plan.h"
#include "core/routing_stats.h"

namespace thermoe {

/// What a plan routes on a sampled step. Of a plan that gives a share of the tokens one expert more
/// that share is left out: its loss is no more than this.
RoutingStats routed_by(const RoutingPlan& plan, const std::shared_ptr<const Utilities>& sample);
/// The same where only `active` experts [layers, experts] run.
RoutingStats routed_among(std::span<const std::uint8_t> active,
                          const std::shared_ptr<const Utilities>& sample);

/// [layers, experts], 1 where a token may go: the plan for an engine that can keep experts from all
/// tokens of a step, but price none. A plan's prices choose for each batch anew; a mask holds for
/// batches to come. So it has, in each layer, the experts that lost most with what the prices drop,
/// and as many of them as keep the mean number of distinct experts on the recent samples at what
/// the prices would run there: the watts are the plan's, the quality is less than the plan's. All
/// ones where the plan prices nothing. Enough experts of each group stay that a token finds its k
/// in whichever groups it keeps.
/// Requires samples of the plan's shape that are `finite`.
std::vector<std::uint8_t> active_mask(const RoutingPlan& plan, const RouterSpec& router,
                                      std::span<const std::shared_ptr<const Utilities>> samples);

}  // namespace thermoe
