// SPDX-License-Identifier: Apache-2.0
#include "control/baseline.h"

#include "control/plan_writer.h"

namespace thermoe {

BaselineController::BaselineController(const ControllerConfig& config)
    : plan_(baseline_plan_of(config)), config_(config) {}

Decision BaselineController::decide(const Observation& o) {
  const Cost cost = o.costs.step(o.stats, config_.variant);
  state_.predicted_power = mean_power(cost, config_.step_period, o.costs.active_idle);
  state_.predicted_step_time = cost.latency;
  state_.predicted_active = o.stats.mean_active();
  return {.plan = plan_, .step_period = config_.step_period};
}

}  // namespace thermoe
