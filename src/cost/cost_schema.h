// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "core/json_file.h"
#include "cost/cost_table.h"
#include "cost/kernel_cost_model.h"

namespace thermoe {

/// The schemas of kernel_cost_model.json that this library reads (docs/adr/0005-cost-schema.md):
/// the newest, which has what whole steps cost, and the first, which suffices without.
inline constexpr int kCostSchema = 2;
inline constexpr int kExpertsOnlySchema = 1;

/// Limits of a row's figures.
inline constexpr double kLeastMicroseconds = 1e-3;  // below any kernel, above a stray zero
inline constexpr double kMostMicroseconds = 1e9;
inline constexpr double kMostMicrojoules = 1e12;
inline constexpr double kMostSpread = 10.0;

/// Readers of the parts of a cost model file. All throw FormatError naming `path` and a JSON
/// pointer.
CostModelHeader read_cost_header(const nlohmann::json& json, const std::string& path);
/// One of "models", also as an experiment gives one.
ExpertShape read_expert_shape(JsonObject object);
/// Tables in file order. Heat that rows do not state follows from `header`'s thermal model, if any.
std::vector<CostTable> read_cost_tables(const nlohmann::json& json, const CostModelHeader& header);
/// "other", of the models that the header names; none where the file has none.
std::vector<OtherCosts> read_other_costs(const nlohmann::json& json, const CostModelHeader& header);
/// An entry's "source".
CostSource read_cost_source(JsonObject& entry);

}  // namespace thermoe
