// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cost/convex_envelope.h"
#include "cost/cost_table.h"
#include "cost/table_bends.h"

namespace thermoe {

/// Two neighbouring rows of which the later, with more work, costs less.
struct Fall {
  CurvePoint from{};
  CurvePoint to{};
};

/// One line through a table, read as a function of one variable: how far the profile is from what
/// the optimisation assumes (convex, nondecreasing: design.md §5).
struct LineCheck {
  std::string quantity{};      ///< "latency_us" or "energy_uj"; y of the points is in it
  std::string along{};         ///< "tokens" or "active_experts"; x of the points
  std::optional<double> at{};  ///< the other variable's value, in moe_experts tables
  std::vector<CurvePoint> points{};
  EnvelopeDistance convexity{};
  std::vector<Fall> falls{};
  std::vector<Bend> bends{};
};

/// Checks latency and energy along tokens, and in moe_experts tables along active experts at each
/// token count and along tokens at each active count. Jumps are looked for in latencies only. Lines
/// of fewer than two points are left out.
std::vector<LineCheck> check_table(const CostTable& table);

}  // namespace thermoe
