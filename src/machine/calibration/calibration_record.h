// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "core/snapshot.h"
#include "machine/calibration/calibration_plan.h"

namespace thermoe {

/// A window as it was run.
struct CalibrationStretch {
  CalibrationWindow window{};
  Seconds from{};  ///< of its first step, or of the rest
  Seconds to{};
};

/// One step that ended.
struct TimedStep {
  Seconds began{};
  Seconds device_time{};
  std::optional<double> active{};  ///< mean distinct experts a layer, where the picks were new
};

/// All that a calibration saw, on one clock.
struct CalibrationRecord {
  std::vector<CalibrationStretch> stretches{};
  std::vector<TimedStep> steps{};
  std::vector<Snapshot> snapshots{};  ///< of one GPU, every poll
  Seconds taken{};
};

/// What a counted window showed behind its settling.
struct CalibrationLevel {
  CalibrationWindow window{};
  double active = 0.0;     ///< as the load routed, mean over layers; 0: a rest
  Seconds step_time{};     ///< median on the device
  double step_spread = 0;  ///< (p90 - p10) / (2 * median)
  Seconds spacing{};       ///< mean from start to start
  int steps = 0;
  Watts power{};  ///< mean, of the energy counter
};

/// Every counted window of the record, in order. Throws TelemetryError for one in which the energy
/// counter said too little or began anew, or no step ran.
std::vector<CalibrationLevel> calibration_levels(const CalibrationRecord& record);

/// The state that the counted windows with work were measured in; absent where no sensor says.
struct CalibrationState {
  std::optional<Megahertz> sm_clock{};      ///< median
  std::optional<Megahertz> memory_clock{};  ///< median
  std::optional<Celsius> temperature{};     ///< median
  std::optional<Watts> power_limit{};       ///< the last
};
CalibrationState calibration_state(const CalibrationRecord& record);

}  // namespace thermoe
