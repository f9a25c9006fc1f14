// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "control/calibration.h"
#include "control/controller_config.h"
#include "control/demand.h"
#include "control/hardware_tracker.h"
#include "control/health_monitor.h"
#include "control/pacer.h"

namespace thermoe {

/// What one observation means to an adaptive strategy.
struct TickView {
  LoadCosts costs;
  std::shared_ptr<const Utilities> utilities{};  ///< null if the logits cannot be used
  Demand ran{};                                  ///< cost model's view of the loads that ran
  Fault fault{};              ///< why this tick cannot be trusted; none if it can
  bool numbers_sound = true;  ///< the data plane's, without which nothing can be judged
};

/// What a strategy would like to publish.
struct Intent {
  RoutingPlan plan;
  double lambda = 0.0;
  bool saturated = false;            ///< the targets are out of its reach
  std::optional<Demand> demand{};    ///< of the plan; absent before the first usable sample
  std::optional<Demand> baseline{};  ///< of the BASELINE plan; likewise
  std::string fault{};               ///< the strategy's own (a NaN of its making); empty if none
};

/// The frame around every adaptive strategy: `begin` digests the observation, the strategy makes an
/// intent, `finish` publishes it, or a safer plan with a reason (theory.md section 5). Between
/// them, on an engine whose requests arrive, `pace` chooses the step period that the intent is for.
class AdaptiveTick {
 public:
  explicit AdaptiveTick(const ControllerConfig& config);

  TickView begin(const Observation& observation);
  /// `plain`: demand of a step under BASELINE, of the batch of now. Nothing where the step period
  /// is given.
  void pace(const Observation& observation, const TickView& view, const Demand& plain);
  /// By forecast, under the step period in force.
  bool meets(const Cost& cost) const;
  Decision finish(const Observation& observation, const TickView& view, Intent intent);

  /// Where requests arrive.
  const Pacer* pacer() const { return pacer_ ? &*pacer_ : nullptr; }
  const HardwareTracker& tracker() const { return tracker_; }
  /// What the static plan is made of; without calibration samples, of nothing.
  const Calibration& calibration() const { return calibration_; }
  ControllerState& state() { return state_; }
  const ControllerState& state() const { return state_; }

 private:
  /// What is published under this or that name.
  struct Published {
    RoutingPlan plan{};
    std::optional<Demand> demand{};
    double lambda = 0.0;
    bool saturated = false;
  };

  TickView view_of(const Observation& observation);
  Demand ran(const Observation& observation, const TickView& view) const;
  Fault fault_of(const Observation& observation, const TickView& view, const Intent& intent);
  PlanKind at_hand(PlanKind wanted) const;
  Published published(PlanKind kind, Intent intent) const;
  void describe(const std::optional<Demand>& demand);

  const ControllerConfig config_;
  const Calibration calibration_;
  std::optional<Published> sound_{};  ///< the strategy's own last one
  HardwareTracker tracker_;
  std::optional<Pacer> pacer_{};  ///< where requests arrive
  int largest_batch_ = 0;         ///< seen so far
  HealthMonitor health_;
  ControllerState state_{};
};

}  // namespace thermoe
