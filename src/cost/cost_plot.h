// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "cost/kernel_cost_model.h"

namespace thermoe {

/// What `thermoe cost plot` draws, in the units of the file: of each table its lines with convex
/// envelope and bends, of expert layers also the fit that prices come from, and what both leave
/// over, relative to the row. `threshold` (relative) is how far from convex a table may be for the
/// verdict.
nlohmann::json plot_json(const KernelCostModel& model, double threshold);

}  // namespace thermoe
