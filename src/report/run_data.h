// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "report/expert_timeline.h"
#include "report/run_ticks.h"
#include "report/summary.h"

namespace thermoe {

/// A time in which something was done to the machine, for shading.
struct DisturbedTime {
  double from = 0.0;    ///< s
  double to = 0.0;      ///< s
  std::string name{};   ///< a word or two, for the plot
  std::string words{};  ///< what was done, for the caption
};

/// Everything that a run left in its folder, as far as it is there.
struct RunData {
  std::string folder{};
  std::string name{};                       ///< the experiment's, else the folder's
  nlohmann::json config{};                  ///< config.json; null without one
  Summary summary{};                        ///< made from the ticks, where the run wrote none
  std::vector<std::string> notes{};         ///< what a reader must not miss
  bool interrupted = false;                 ///< there is no summary.json
  std::optional<double> planned_seconds{};  ///< duration of each strategy, from the config
  std::vector<std::string> planned{};       ///< every turn of the config, round by round
  std::optional<RunTicks> ticks{};          ///< absent where there is no metrics.csv
  std::vector<StrategyTimeline> usage{};
  std::vector<StrategyTimeline> bias{};
  std::vector<DisturbedTime> disturbances{};
};

/// Reads a run's folder. Throws UsageError for a folder that does not exist or holds no run, and
/// FormatError for a file that is not what a run writes. A run that was killed has no summary.json:
/// its figures then come from the ticks that it wrote.
RunData read_run(const std::string& folder);

}  // namespace thermoe
