// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "measure/chosen_gpus.h"
#include "measure/measure_request.h"
#include "measure/window_meter.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

class NvmlSource;

/// Sensors read in the background as time passes, each source under a monitor of its own: a driver
/// that hangs keeps neither the others nor the command waiting.
class LiveSensors {
 public:
  /// Starts reading. `clock` must outlive it. Throws UsageError or FormatError (a missing recording
  /// or plant).
  LiveSensors(const SensorChoice& choice, const Clock& clock);
  ~LiveSensors();
  LiveSensors(const LiveSensors&) = delete;
  LiveSensors& operator=(const LiveSensors&) = delete;

  /// Gives `meter` what was read since the last call.
  void drain(WindowMeter& meter);
  /// The same, after fresh readings of every sensor, energy counters included: for the edges of a
  /// window. Waits for them at most `patience`; false if some source has not answered by then.
  bool read_now(WindowMeter& meter, Seconds patience);

  /// The newest snapshot of each source that has answered, of the chosen GPUs.
  std::vector<Snapshot> latest();

  /// What of --gpu stands for no GPU or for several; known once a GPU was read.
  std::optional<std::string> wrong_gpu() const { return chosen_.fault(); }
  /// What does not answer, cannot be read or was left out, a sentence each, with the remedy.
  std::vector<std::string> problems() const;
  /// The sources that answered: "NVML + host".
  std::string label() const;
  /// Whether a poll is inside a driver that does not return: the program must then leave without
  /// running destructors.
  bool hangs() const;

 private:
  struct Feed;

  void add(std::string label, std::unique_ptr<Source> source, NvmlSource* nvml = nullptr);

  const Clock& clock_;
  ChosenGpus chosen_;
  std::vector<Feed> feeds_;
};

}  // namespace thermoe
