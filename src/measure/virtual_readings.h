// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.h"
#include "measure/chosen_gpus.h"
#include "measure/measure_request.h"
#include "measure/window_meter.h"

namespace thermoe {

class SimulatedLoadSource;

/// Readings on a time line that needs no waiting: the rows of a recording at their own times, or a
/// simulated GPU polled ten times a second. Time starts at 0.
class VirtualReadings {
 public:
  /// Throws UsageError or FormatError (a missing recording or plant).
  explicit VirtualReadings(const SensorChoice& choice);
  ~VirtualReadings();
  VirtualReadings(const VirtualReadings&) = delete;
  VirtualReadings& operator=(const VirtualReadings&) = delete;

  /// Gives `meter` what was read up to `until`; false if the recording ends before.
  bool pass(Seconds until, WindowMeter& meter);
  /// Of a recording.
  std::optional<Seconds> length() const;
  const std::string& label() const { return label_; }
  /// Which GPUs are measured, as far as they have passed.
  const ChosenGpus& chosen() const { return chosen_; }

 private:
  ChosenGpus chosen_;
  std::string label_{};
  std::vector<Snapshot> recording_{};
  std::unique_ptr<SimulatedLoadSource> simulated_{};
  std::size_t next_ = 0;
};

}  // namespace thermoe
