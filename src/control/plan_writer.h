// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/controller_config.h"
#include "control/pricing.h"
#include "core/routing_plan.h"

namespace thermoe {

/// The plan of zeros (with the experts' precision, which no strategy changes).
RoutingPlan baseline_plan_of(const ControllerConfig& config);

/// The plan that makes the data plane do what PricedSample::loads(lambda) predicts.
RoutingPlan priced_plan(const ControllerConfig& config, const PricingParameters& parameters,
                        double lambda);

/// Every token takes floor(k) experts, a share k - floor(k) of them one more. 1 <= k <=
/// config.router.k.
RoutingPlan reduced_plan(const ControllerConfig& config, double k);

/// OPPORTUNISTIC: every token keeps its floor(keep) best experts, a share keep - floor(keep) of
/// them one more, and fills up to k from what the batch keeps. 1 <= keep <= config.router.k, which
/// is BASELINE.
RoutingPlan opportunistic_plan(const ControllerConfig& config, double keep);

/// The decision of a controller that listens: valid for the guard's number of ticks from `now` on.
Decision decision_of(const ControllerConfig& config, Seconds now, RoutingPlan plan,
                     Seconds step_period);

/// L2 norm of all selection biases.
double bias_norm(const RoutingPlan& plan);

}  // namespace thermoe
