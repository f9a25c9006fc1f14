// SPDX-License-Identifier: Apache-2.0
#include "control/static_optimal.h"

#include "control/demand.h"
#include "control/plan_writer.h"
#include "control/safe_plan.h"

namespace thermoe {

StaticOptimalController::StaticOptimalController(const ControllerConfig& given) {
  const ControllerConfig config = at_reference(given);
  const Calibration c = calibrate(config);
  decision_ = {.plan = static_plan(config, c), .step_period = config.step_period};
  const Watts power = mean_power(c.demand.cost, config.step_period, config.costs.active_idle);
  state_.lambda = c.lambda;
  state_.saturated = !c.reached;
  if (given.engine) {
    state_.pacing = {.step_period = config.step_period,
                     .period_limit = given.objective == Objective::kThroughput
                                         ? PeriodLimit::kObjective
                                     : given.targets.between_tokens ? PeriodLimit::kLatency
                                                                    : PeriodLimit::kStepTime,
                     .batch = static_cast<double>(largest_batch(config.calibration)),
                     .power = power};
  }
  state_.predicted_power = power;
  state_.predicted_step_time = c.demand.cost.latency;
  state_.predicted_temperature = config.thermal.steady(power);
  state_.predicted_active = c.demand.active;
  state_.predicted_kept_mass = c.demand.kept_mass;
  state_.bias_norm = bias_norm(decision_.plan);
}

Decision StaticOptimalController::decide(const Observation& /*observation*/) { return decision_; }

}  // namespace thermoe
