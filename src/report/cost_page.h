// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace thermoe {

/// The page of a cost model: its tables, their convex envelopes and fits, and what those leave
/// over. `costs` is what `plot_json` of cost/cost_plot.h gives.
std::string cost_page(const nlohmann::json& costs, const std::string& version);

}  // namespace thermoe
