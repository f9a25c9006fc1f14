// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/calibration.h"
#include "control/controller_config.h"

namespace thermoe {

/// What runs where a controller can say nothing that may be trusted: STATIC_OPTIMAL's plan, as
/// BASELINE would break a cap at once, unless the guard asks for BASELINE or there is nothing to
/// calibrate on.
struct SafePlan {
  PlanKind kind = PlanKind::kBaseline;
  RoutingPlan plan{};
};

PlanKind safe_kind(const ControllerConfig& config);
/// Calibrates for it: milliseconds a sample. Throws UsageError for an impossible config.
SafePlan safe_plan(const ControllerConfig& config);

/// STATIC_OPTIMAL's plan.
RoutingPlan static_plan(const ControllerConfig& config, const Calibration& calibration);

}  // namespace thermoe
