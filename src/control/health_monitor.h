// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <optional>
#include <string>

#include "control/controller.h"
#include "control/controller_config.h"
#include "control/power_sensor.h"

namespace thermoe {

/// Something that cannot be trusted, and the plan to run instead.
struct Fault {
  PlanKind remedy = PlanKind::kStrategy;
  std::string reason{};  ///< a sentence; empty: no fault
  explicit operator bool() const { return !reason.empty(); }
};

/// Decides when a controller may not be trusted, and why. A fault acts at once; control resumes
/// after `recover_after` without one (hysteresis).
class HealthMonitor {
 public:
  HealthMonitor(const GuardRails& guard, const Targets& targets);

  /// What is wrong with the sensors that the targets need, as a sentence; empty if nothing. Call
  /// once a tick: an absent reading counts from the last good one.
  std::string telemetry_fault(const Observation& observation, const PowerSensor& power_sensor);
  /// NaN or infinity in what the data plane reports beside the logits.
  static std::string number_fault(const Observation& observation);
  /// Follows the quality loss Q [nats] of what runs (or would run, while BASELINE does), and says
  /// so while its mean over the window exceeds the budget.
  std::string quality_fault(double quality_loss, Seconds tick);

  /// The fault to act on now, given this tick's: none while in control. One event keeps its reason
  /// until it ends, or until another asks for more.
  const Fault& judge(Seconds now, const Fault& fault);
  const Fault& acting() const { return acting_; }

 private:
  bool needs_power() const { return targets_.power || targets_.temperature; }

  GuardRails guard_;
  Targets targets_;
  struct Loss {
    Seconds tick{};
    double nats = 0.0;
  };
  std::deque<Loss> losses_{};                  ///< of the quality window
  Seconds seen_{};                             ///< how much of it that is
  double spent_ = 0.0;                         ///< nats times seconds of it
  std::optional<Seconds> last_power_{};        ///< when a power value was last present
  std::optional<Seconds> last_temperature_{};  ///< likewise
  std::optional<Seconds> healthy_since_{};
  Fault acting_{};
};

}  // namespace thermoe
