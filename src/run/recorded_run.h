// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/gpu_disturbance.h"
#include "core/units.h"
#include "machine/simulated/pole_fit.h"
#include "run/experiment.h"

namespace thermoe {

/// What a tick of a run asked of its GPU, and what was measured of it.
struct RecordedTick {
  Seconds at{};  ///< its end, from the start of the turn
  Seconds length{};
  double steps = 0.0;
  Seconds period{};           ///< from a step's start to the next
  std::vector<int> active{};  ///< distinct experts of each layer, in the tick's last step
  GpuDisturbance disturbance{};
  Seconds step_time{};                   ///< mean
  std::optional<Watts> power{};          ///< mean of the tick; absent where it was not known
  std::optional<Celsius> temperature{};  ///< of the die, at the end
};

struct RecordedTurn {
  std::string name{};  ///< a strategy's, with its round
  std::vector<RecordedTick> ticks{};
};

/// A run's folder, as far as a machine could run it again.
struct RecordedRun {
  std::string folder{};
  std::string device{};
  bool simulated = false;
  Experiment experiment{};
  std::vector<RecordedTurn> turns{};
};

/// Reads config.json and metrics.csv of a run's folder, of one that was killed too. Throws
/// FormatError for what a run does not write, UsageError for a folder that holds none.
RecordedRun read_recorded_run(const std::string& folder);

/// Measured watts and degrees of each turn that has both; ticks that lack one count with the tick
/// after.
std::vector<HeatTrace> heat_traces(const RecordedRun& run);

}  // namespace thermoe
