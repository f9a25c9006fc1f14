// SPDX-License-Identifier: Apache-2.0
#include "control/safe_plan.h"

#include "control/plan_writer.h"

namespace thermoe {

PlanKind safe_kind(const ControllerConfig& config) {
  const bool can = config.guard.fallback == SensorFallback::kStatic && !config.calibration.empty();
  return can ? PlanKind::kStatic : PlanKind::kBaseline;
}

SafePlan safe_plan(const ControllerConfig& config) {
  check(config);
  const PlanKind kind = safe_kind(config);
  if (kind == PlanKind::kBaseline) return {.kind = kind, .plan = baseline_plan_of(config)};
  return {.kind = kind, .plan = static_plan(config, calibrate(config))};
}

RoutingPlan static_plan(const ControllerConfig& config, const Calibration& calibration) {
  return priced_plan(config, calibration.parameters, calibration.lambda);
}

}  // namespace thermoe
