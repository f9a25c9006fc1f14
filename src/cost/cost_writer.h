// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "cost/kernel_cost_model.h"

namespace thermoe {

/// The model as docs/adr/0005-cost-schema.md has it, in the first schema that holds it.
/// `KernelCostModel::from_json` gives back what came from a file to the last bit, and any other
/// model to the last digit of a microsecond's or microjoule's double.
nlohmann::ordered_json to_json(const KernelCostModel& model);
/// One of its "other".
nlohmann::ordered_json to_json(const OtherCosts& other);
/// One of its "models".
nlohmann::ordered_json to_json(const ExpertShape& shape);
/// Writes the file whole or not at all. Throws WriteError.
void write_cost_model(const KernelCostModel& model, const std::string& path);

}  // namespace thermoe
