// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "control/calibration.h"
#include "control/controller.h"
#include "control/hardware_tracker.h"

namespace thermoe {

/// What an adapter learns from, once a tick. Views: valid during the call.
struct AdapterTick {
  const Observation& observation;
  std::shared_ptr<const Utilities> utilities{};  ///< of the tick's sample, finite
  const LoadCosts& costs;
  const HardwareTracker& tracker;
  const PricingParameters& prior;  ///< what the adapter's biases and prices are added to
  double lambda = 0.0;             ///< calibrated, or what the dual asked for the last proposal
  /// Mean demand of the last proposal over the recent samples, where known: whether a target is
  /// missed is judged by it, since the hinge of one noisy sample is a price on noise.
  std::optional<Demand> expected{};
  /// The dual's price of a step's length in nats of Q per L/L0 (theory.md eq. (17)); 0 without
  /// dual.
  double shadow_price = 0.0;
  /// True where a dual sets the common level of log lambda: the adapter then only shifts price
  /// between layers.
  bool relative_prices = false;
};

/// What an adapter adds to the prior policy.
struct AdapterOutput {
  std::vector<float> bias{};       ///< [layers, experts] delta b
  std::vector<float> log_price{};  ///< [layers] delta log lambda
  ControllerState::Losses losses{};

  bool finite() const;
};

/// The adapter as the strategy sees it: free of LibTorch, replaceable in tests.
class PlanAdapter {
 public:
  virtual ~PlanAdapter() = default;
  /// Proposes from the state before this tick's update, then takes one learning step. Numbers that
  /// are not finite mean that the adapter diverged.
  virtual AdapterOutput update_ttha(const AdapterTick& tick) = 0;
  /// Back to the prior policy.
  virtual void restart() = 0;
};

}  // namespace thermoe
