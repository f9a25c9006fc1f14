// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/program_search.h"
#include "profile/under/ncu_command.h"
#include "profile/under/profiler_tool.h"
#include "profile/under/tool_plan.h"

namespace thermoe {

/// What is to run under which profiler.
struct UnderRequest {
  Profiler profiler = Profiler::kNsys;
  std::vector<std::string> child{};   ///< the command; its ranges of `kOwnDomain` name ops
  std::string folder{};               ///< that takes what is recorded; made where it is not there
  std::optional<std::string> tool{};  ///< path of the profiler; absent: searched for
  /// A command that records power and temperature, as `thermoe monitor --csv` does, on its standard
  /// output until it is asked to end. Empty: neither is known. Not used under ncu, whose
  /// repetitions burn what the work itself does not.
  std::vector<std::string> recorder{};
  bool gpu_metrics = true;  ///< sample the GPU's counters where nsys is permitted to
  NcuReplay replay = NcuReplay::kKernel;
  std::optional<std::string> cost_model{};  ///< to merge into; nsys only
};

/// Hears, a sentence at a time, what people should know while it runs.
using Tell = std::function<void(const std::string&)>;

/// Finds the tool and makes the plan of `run_under`, and runs nothing but the tool's own answers
/// about itself: for `--dry-run`. Throws UsageError with the remedy where the tool is not there, is
/// broken or cannot do what is needed.
ToolPlan plan_under(const UnderRequest& request, const ProgramPlaces& places, const Tell& tell);

}  // namespace thermoe
