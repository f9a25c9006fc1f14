// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/snapshot.h"
#include "measure/device_meter.h"
#include "measure/measurement.h"

namespace thermoe {

/// Measures windows, one after another, from snapshots as they come. Sources promise that a GPU
/// keeps its index and a host sensor its name. Pure: no clock, no thread.
class WindowMeter {
 public:
  /// Snapshots of one source come in the order of their times, between, before and after windows.
  void add(const Snapshot& snapshot);
  void open(Seconds at);
  WindowMeasurement close(Seconds at) const;
  /// Whether any device told energy or power so far.
  bool sees_power() const { return sees_power_; }

 private:
  std::map<unsigned, DeviceMeter> gpus_{};                   // by index
  std::vector<std::pair<std::string, DeviceMeter>> host_{};  // in the source's order
  Seconds opened_{};
  bool is_open_ = false;
  bool simulated_ = false;
  bool sees_power_ = false;
};

}  // namespace thermoe
