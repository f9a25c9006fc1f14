// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"

namespace thermoe {

/// `thermoe cost show`: the header, a line a table with the ranges that were profiled, and for
/// expert layers the fit that the controller would use. `with_rows` adds every profiled row.
std::string show_text(const KernelCostModel& model, bool with_rows);
nlohmann::json show_json(const KernelCostModel& model);
/// Names of the models of which only the expert layers are known.
std::vector<std::string> experts_only(const KernelCostModel& model);
/// Of which models whole steps are known and of which expert layers only, a line each.
std::string coverage_text(const KernelCostModel& model);

/// `thermoe cost check`: distances from convexity and falls, and whether any distance exceeds
/// `threshold` (relative).
struct CheckResult {
  std::string text{};
  bool within = true;
};
CheckResult check_text(const KernelCostModel& model, double threshold);
nlohmann::json check_json(const KernelCostModel& model, double threshold);

}  // namespace thermoe
