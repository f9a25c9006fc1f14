// SPDX-License-Identifier: Apache-2.0
#include "cost/table_check.h"

#include <map>

namespace thermoe {
namespace {

using Points = std::vector<CurvePoint>;

constexpr const char* kEnergy = "energy_uj";

void check_line(const std::string& quantity, const std::string& along, std::optional<double> at,
                const Points& points, std::vector<LineCheck>& checks) {
  if (points.size() < 2) return;
  LineCheck check{.quantity = quantity, .along = along, .at = at};
  check.points = points;
  check.convexity = distance_from_envelope(points);
  check.bends = find_bends(points, along == "tokens");
  // Joules follow the time, and come from windows whose noise looks like jumps.
  if (quantity == kEnergy) {
    std::erase_if(check.bends, [](const Bend& b) { return b.kind != BendKind::kActivation; });
  }
  for (std::size_t i = 1; i < points.size(); ++i) {
    if (points[i].y < points[i - 1].y) check.falls.push_back({points[i - 1], points[i]});
  }
  checks.push_back(std::move(check));
}

std::optional<double> figure(const CostRow& row, bool energy) {
  if (!energy) return row.latency.value * 1e6;
  return row.energy ? std::optional(row.energy->value * 1e6) : std::nullopt;
}

}  // namespace

std::vector<LineCheck> check_table(const CostTable& table) {
  std::vector<LineCheck> checks;
  for (const bool energy : {false, true}) {
    const std::string quantity = energy ? kEnergy : "latency_us";
    std::map<double, Points> by_tokens;  // tokens -> line along active experts
    std::map<double, Points> by_active;  // active experts -> line along tokens
    Points along_tokens;
    for (const CostRow& row : table.rows()) {
      const auto y = figure(row, energy);
      if (!y) continue;
      if (!row.active_experts) {
        along_tokens.push_back({row.tokens, *y});
        continue;
      }
      by_tokens[row.tokens].push_back({*row.active_experts, *y});
      by_active[*row.active_experts].push_back({row.tokens, *y});
    }
    check_line(quantity, "tokens", std::nullopt, along_tokens, checks);
    for (const auto& [at, points] : by_tokens)
      check_line(quantity, "active_experts", at, points, checks);
    for (const auto& [at, points] : by_active) check_line(quantity, "tokens", at, points, checks);
  }
  return checks;
}

}  // namespace thermoe
