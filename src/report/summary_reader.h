// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "report/summary.h"

namespace thermoe {

/// A run's summary.json and details.json as read back.
struct SavedSummary {
  Summary summary{};
  std::vector<std::string> notes{};
};

/// Reads what `write_summary` wrote; without details.json the other targets' outcomes, the paired
/// quality and the notes are absent. Throws FormatError naming file and key.
SavedSummary read_summary(const std::string& folder);

}  // namespace thermoe
