// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "control/batch_demand.h"
#include "control/controller_config.h"
#include "control/hardware_tracker.h"
#include "control/low_pass.h"
#include "control/period_rule.h"
#include "control/serving_load.h"

namespace thermoe {

/// The shortest step period of an engine whose requests arrive: the second lever beside the price,
/// which costs latency and no quality (theory.md section 8). It moves within seconds, as batches
/// settle; the price follows within a tick.
///
/// - No target on time between tokens: a step's own time without price, at the batch of now.
/// - With one: longer, up to the target, while that saves (`period_that_saves`), and no longer than
///   nine tenths of what the batch limit allows.
/// - PACING_ALONE under a cap on hardware: the shortest that meets it, likewise bounded.
/// - Requests wait at the batch limit, or throughput is the objective: none.
/// - First tokens later than their target: less and less of it.
class Pacer {
 public:
  /// Requires config.engine and config.batch_costs.
  explicit Pacer(const ControllerConfig& config);

  /// What a tick's requests were given.
  void learn(const Observation& observation);
  /// The sampled step's picks under BASELINE.
  void learn_picks(const RoutingStats& plain, Seconds dt) { demand_.learn(plain, dt); }
  /// The period from now on. `now`: demand of a step under BASELINE at the batch of now.
  void choose(const Observation& observation, const Demand& now, const HardwareTracker& tracker);

  /// How long steps of the plan just published last, by forecast.
  void expect(Seconds step_time) { expected_step_ = step_time; }

  Seconds period() const { return state_.step_period; }
  const ControllerState::Pacing& state() const { return state_; }
  /// The strategy chooses the period; else it is 0.
  bool paces() const { return paces_; }
  /// Prices stay 0: only the period is chosen.
  bool alone() const { return alone_; }
  /// The caps are met without a price, once the batch has settled.
  bool reached() const { return reached_; }
  /// Mean time between tokens over the period.
  double stretch() const { return load_.stretch(); }
  /// Steps must not last longer for the mean time between tokens to meet its target.
  std::optional<Seconds> longest_step() const { return longest_step_; }
  /// Each first token comes later than its target, though steps follow at once.
  bool first_token_unmet() const { return first_token_unmet_; }

 private:
  /// Means over batches that vary as requests come about this one.
  SteadyState at_batch(double batch, const BatchCosts& costs, const HardwareTracker& tracker,
                       Seconds period) const;
  SteadyState steady(const BatchCosts& costs, const HardwareTracker& tracker, Seconds period) const;
  bool meets_caps_alone() const;
  PeriodRange range(Seconds own) const;
  PeriodChoice wanted(const PeriodRange& range, const SteadyAt& settled, const SteadyAt& now) const;
  void hold_first_token(Seconds own, Seconds dt);
  void say(Seconds period, PeriodLimit limit) {
    state_.step_period = period, state_.period_limit = limit;
  }

  ServingEngine engine_;
  BatchCosts batch_costs_;  ///< where an observation has none
  Targets targets_;
  Objective objective_;
  bool paces_, alone_;
  BatchDemand demand_;
  ServingLoad load_;
  LowPass log_period_{Seconds(2.0)};
  double patience_ = 2.0;  ///< of first tokens: 2 as wanted, 1 a step's own time, 0 no period
  bool first_token_unmet_ = false, reached_ = true;
  Seconds expected_step_{};
  std::optional<Seconds> longest_step_{};
  ControllerState::Pacing state_{};
};

}  // namespace thermoe
