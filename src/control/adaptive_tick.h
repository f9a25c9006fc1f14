// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "control/controller_config.h"
#include "control/demand.h"
#include "control/hardware_tracker.h"
#include "control/health_monitor.h"

namespace thermoe {

/// What one observation means to an adaptive strategy.
struct TickView {
  LoadCosts costs;
  std::shared_ptr<const Utilities> utilities{};  ///< null if the logits cannot be used
  Demand ran{};                                  ///< cost model's view of the loads that ran
  std::string fault{};  ///< why this tick cannot be trusted; empty if it can
};

/// What a strategy would like to publish.
struct Intent {
  RoutingPlan plan;
  std::optional<Demand> demand{};    ///< of the plan; absent before the first usable sample
  std::optional<Demand> baseline{};  ///< of the BASELINE plan; likewise
  std::string fault{};               ///< the strategy's own (a NaN of its making); empty if none
};

/// The frame around every adaptive strategy: `begin` digests the observation, the strategy makes an
/// intent, `finish` publishes it, or BASELINE with a reason.
class AdaptiveTick {
 public:
  explicit AdaptiveTick(const ControllerConfig& config);

  TickView begin(const Observation& observation);
  RoutingPlan finish(const Observation& observation, const TickView& view, Intent intent);

  const HardwareTracker& tracker() const { return tracker_; }
  ControllerState& state() { return state_; }
  const ControllerState& state() const { return state_; }

 private:
  void describe(const std::optional<Demand>& demand);

  const ControllerConfig config_;
  HardwareTracker tracker_;
  HealthMonitor health_;
  ControllerState state_{};
};

}  // namespace thermoe
