// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "core/targets.h"
#include "report/strategy_ticks.h"

namespace thermoe {

/// What a run's metrics.csv holds.
struct RunTicks {
  std::vector<StrategyTicks> strategies{};  ///< in order of appearance
  Targets targets{};                        ///< of the first row
  bool simulated = true;
  bool torn = false;  ///< the last line was cut short and dropped: the run was killed
};

/// Reads a metrics.csv. Throws FormatError naming file, line and column: for a missing column, for
/// what is not a number, for a file without a single whole row.
RunTicks read_run_ticks(const std::string& path);

}  // namespace thermoe
