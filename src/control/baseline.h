// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "control/controller_config.h"

namespace thermoe {

/// BASELINE: the plan of zeros. Reports what the cost model makes of what ran.
class BaselineController final : public Controller {
 public:
  explicit BaselineController(const ControllerConfig& config);
  Decision decide(const Observation& observation) override;
  const ControllerState& state() const override { return state_; }

 private:
  RoutingPlan plan_;
  ControllerConfig config_;
  ControllerState state_{};
};

}  // namespace thermoe
