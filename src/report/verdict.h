// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "report/run_data.h"

namespace thermoe {

/// A target counts as held if it was exceeded (by more than 5 %, or 1 degree) for at most this
/// share of the time, start-up and transients included.
inline constexpr double kHeldShare = 0.05;

/// Whether a strategy held all of its targets. Requires one.
bool held(const StrategySummary& strategy);

/// The run in one sentence: which strategy held the targets and at what loss of quality, and which
/// broke them; or what was saved, where there was no target; or how far an interrupted run came.
/// Says "simulated" where the machine was.
std::string verdict(const RunData& run);

}  // namespace thermoe
