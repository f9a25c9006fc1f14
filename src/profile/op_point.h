// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "cost/cost_table.h"

namespace thermoe {

/// One point of a cost table, as a range names it: what ran, on how much.
struct OpPoint {
  OpKey key{};
  double tokens = 1.0;
  std::optional<double> active_experts{};
  bool operator==(const OpPoint&) const = default;
};

/// "moe_experts [128, 8, 2048, 768] bf16 tokens 16 active 73.5": the name of the ranges around
/// executions of this point. `read_op_point` gives back what it was made of.
std::string to_string(const OpPoint& point);
/// Absent for a range of any other name.
std::optional<OpPoint> read_op_point(std::string_view name);

}  // namespace thermoe
