// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "control/controller.h"
#include "control/controller_config.h"
#include "control/power_sensor.h"

namespace thermoe {

/// Decides when a controller may not be trusted, and why. A fault acts at once; control resumes
/// after `recover_after` without one (hysteresis). Each event is logged once, at its start and end.
class HealthMonitor {
 public:
  HealthMonitor(const GuardRails& guard, const Targets& targets);

  /// What is wrong with the sensors that the targets need, as a sentence; empty if nothing. Call
  /// once a tick: an absent reading counts from the last good one.
  std::string telemetry_fault(const Observation& observation, const PowerSensor& power_sensor);
  /// NaN or infinity in what the data plane reports.
  static std::string number_fault(const Observation& observation);
  /// Follows the quality loss Q [nats] of what runs (or would run, while in fallback).
  std::string quality_fault(double quality_loss, Seconds tick);

  /// The reason to publish BASELINE now (empty: stay in control), given this tick's fault.
  const std::string& judge(Seconds now, const std::string& fault);
  bool in_fallback() const { return !reason_.empty(); }

 private:
  bool needs_power() const { return targets_.power || targets_.temperature; }

  GuardRails guard_;
  Targets targets_;
  double mean_quality_loss_ = 0.0;
  std::optional<Seconds> last_power_{};        ///< when a power value was last present
  std::optional<Seconds> last_temperature_{};  ///< likewise
  std::optional<Seconds> healthy_since_{};
  std::string reason_{};
};

}  // namespace thermoe
