// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "measure/measurement.h"

namespace thermoe {

/// How many units of work were done in a window, or why that is not known.
struct UnitCount {
  std::optional<double> count{};
  std::string absent_because{};
  std::string
      basis{};  ///< "--units", "the command's output", "vllm:generation_tokens_total at ..."
};

/// One run of the command, or one stretch of time.
struct RunMeasurement {
  bool failed_to_start = false;  ///< the command could not be run
  std::optional<WindowMeasurement> window{};
  std::string absent_because{};  ///< where there is no window
  Seconds duration{};            ///< all of it, what was skipped included
  std::optional<int> exit_code{};
  std::optional<int> interrupted{};  ///< by this signal
  std::optional<UnitCount> units{};

  bool went_well() const { return exit_code.value_or(0) == 0 && !interrupted; }
};

struct MeasureOutcome {
  std::string source{};  ///< "NVML + host"
  std::optional<WindowMeasurement> idle{};
  std::vector<RunMeasurement> runs{};   ///< without those to warm up
  std::vector<std::string> problems{};  ///< of the sensors, a sentence each
  int exit_code = 0;
};

}  // namespace thermoe
