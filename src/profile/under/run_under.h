// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/program_search.h"
#include "core/signal_queue.h"
#include "profile/cost_merge.h"
#include "profile/parsed_profile.h"
#include "profile/under/plan_under.h"

namespace thermoe {

/// What came of it.
struct UnderResult {
  int exit_code = 0;  ///< the child's, or 128 + n after signal n; what follows is for 0 only
  std::vector<std::string> files{};        ///< that are there now
  std::optional<ParsedProfile> profile{};  ///< what the tool recorded
  std::optional<MergedCosts> merged{};     ///< what of it is in the cost model
};

/// Runs the child under the profiler, passing on what both print, reads what was recorded and
/// writes its records beside it, as `thermoe parse --json` prints them. The reports of earlier runs
/// in the folder stay. Where a signal asks to end, or the child fails, it says so, keeps what was
/// recorded and reads nothing.
///
/// Throws UsageError for what the user can mend, with the remedy (tool, permission, driver), Error
/// where the tool failed, WriteError where a disk is full. Costs are merged last: a fault leaves
/// the cost model as it was.
UnderResult run_under(const UnderRequest& request, const ProgramPlaces& places,
                      SignalQueue& signals, const Tell& tell);

}  // namespace thermoe
