// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/json_file.h"
#include "cost/cost_table.h"
#include "cost/kernel_cost_model.h"

namespace thermoe {

/// The newest kernel_cost_model.json that this library reads (docs/adr/0005-cost-schema.md).
inline constexpr int kCostSchema = 1;

/// Readers of the parts of a cost model file. All throw FormatError naming `path` and a JSON
/// pointer.
CostModelHeader read_cost_header(const nlohmann::json& json, const std::string& path);
/// One of "models", also as an experiment gives one.
ExpertShape read_expert_shape(JsonObject object);
/// Tables in file order. Heat that rows do not state follows from `header`'s thermal model, if any.
std::vector<CostTable> read_cost_tables(const nlohmann::json& json, const CostModelHeader& header);

}  // namespace thermoe
