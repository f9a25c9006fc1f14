// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "core/clock.h"
#include "core/router_spec.h"
#include "machine/calibration/calibration_record.h"
#include "machine/gpu/step_load.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

/// What a calibration works with. All must outlive it.
struct CalibrationBench {
  StepLoad& load;
  /// Started, of the load's GPU and no other; its source reads the energy counter in every poll.
  const GpuSystemMonitor& monitor;
  const Clock& clock;  ///< the monitor's; runs by itself
  const std::atomic<bool>& stop;
};

/// The model whose steps are imposed.
struct CalibrationSteps {
  const RouterSpec& router;
  int layers = 0;  ///< of the model
  int tokens = 0;
  std::uint64_t seed = 1;  ///< of the experts
};

/// Runs windows one after another and keeps what steps and sensors showed. Steps run in a thread of
/// their own (PacedSteps); the caller's waits, keeps snapshots, and stages other experts each
/// quarter of a second.
class CalibrationRun {
 public:
  /// Waits for the sensors' first words. Throws TelemetryError where they say nothing, UsageError
  /// where they show other than one GPU, or one without an energy counter.
  CalibrationRun(const CalibrationBench& bench, const CalibrationSteps& steps);
  ~CalibrationRun();

  /// One window, for as long as it lasts; nothing if it was stopped. Throws what the load throws,
  /// and TelemetryError where the sensors fall silent.
  std::optional<CalibrationStretch> run(const CalibrationWindow& window);
  /// Median device time of the steps that began in a stretch. Throws Error where there are none.
  Seconds step_time(const CalibrationStretch& stretch) const;
  /// Ends the steps. What was seen in these stretches.
  CalibrationRecord end(std::vector<CalibrationStretch> stretches);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace thermoe
