// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "core/clock.h"
#include "core/signal_queue.h"
#include "measure/live_sensors.h"
#include "measure/measure_request.h"
#include "measure/run_measurement.h"
#include "measure/unit_meter.h"
#include "measure/window_meter.h"

namespace thermoe {

/// Measures commands and stretches of time as they pass.
class LiveMeasurer {
 public:
  /// Waits for first readings. `signals` was made before any thread. Throws UsageError and
  /// FormatError (a recording, a plant).
  LiveMeasurer(const MeasureRequest& request, SignalQueue& signals);

  /// Why nothing can be measured: no sensor tells energy or power. Absent if one does.
  std::optional<std::string> fault() const;

  /// Runs the command once. Throws TelemetryError, before that, if the units cannot be counted.
  RunMeasurement run_command();
  /// Lets `skip` pass and measures `length`; a signal that asks to end ends it early.
  RunMeasurement watch(Seconds skip, Seconds length, bool count_units);

  const LiveSensors& sensors() const { return sensors_; }

 private:
  void begin_units();
  void take_signals();
  void wait_until(Seconds until);
  void show_time(Seconds passed, Seconds of) const;

  const MeasureRequest& request_;
  SignalQueue& signals_;
  const SteadyClock clock_{};
  UnitMeter units_;
  WindowMeter meter_{};
  bool has_begun_ = false;
  std::optional<int> interrupted_{};  // by a signal that came while no command ran
  LiveSensors sensors_;               // last: its threads end before anything else goes
};

}  // namespace thermoe
