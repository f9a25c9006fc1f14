// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "report/run_data.h"

namespace thermoe {

/// All that a page shows of one run, or of two side by side: verdicts, tables, lines, maps,
/// settings. `version` is the program's.
nlohmann::json report_json(const std::vector<RunData>& runs, const std::string& version);

}  // namespace thermoe
