// SPDX-License-Identifier: Apache-2.0
#include "cost/other_costs.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

std::tuple<int, double, double> place(const OtherRow& row) {
  return {row.graph_size.value_or(0), row.batch, row.context.value_or(0.0)};
}

/// The rows of one graph size as a table, whose second variable is the context.
CostTable table_of(const std::string& name, CostSource source, const std::vector<OtherRow>& rows) {
  std::vector<CostRow> points;
  points.reserve(rows.size());
  for (const OtherRow& row : rows) {
    points.push_back({.tokens = row.batch,
                      .active_experts = row.context,
                      .latency = row.latency,
                      .energy = row.energy});
  }
  return {{.op = name}, source, "", std::move(points)};
}

}  // namespace

std::optional<OtherProblem> find_problem(const OtherRow* last, const OtherRow& row) {
  if (row.graph_size && *row.graph_size < row.batch) {
    return OtherProblem{"graph_size",
                        fmt::format("is {}, less than the batch of {:g}; a graph holds its batch",
                                    *row.graph_size, row.batch)};
  }
  if (last == nullptr) return std::nullopt;
  const auto both_or_none = [&](const char* field, bool before, bool now) {
    return before == now
               ? std::nullopt
               : std::optional(OtherProblem{
                     field, now ? "is there, but the row before has none; give it to all or none"
                                : "is missing, but the row before has it; give it to all or none"});
  };
  if (auto p = both_or_none("graph_size", last->graph_size.has_value(), row.graph_size.has_value()))
    return p;
  if (auto p = both_or_none("context", last->context.has_value(), row.context.has_value()))
    return p;
  if (place(*last) == place(row)) {
    return OtherProblem{"batch", fmt::format("repeats the row before ({:g}); keep one", row.batch)};
  }
  if (place(*last) < place(row)) return std::nullopt;
  return OtherProblem{
      "batch", "comes after a larger one; sort rows by graph_size, batch, context, ascending"};
}

OtherCosts::OtherCosts(std::string model, std::string engine, CostSource source, std::string method,
                       std::vector<OtherRow> rows)
    : model_(std::move(model)),
      engine_(std::move(engine)),
      source_(source),
      method_(std::move(method)),
      rows_(std::move(rows)) {
  THERMOE_EXPECT(!rows_.empty(), "{}: a step's other costs need at least one row", name());
  std::map<int, std::vector<OtherRow>> graphs;
  const OtherRow* last = nullptr;
  for (const OtherRow& row : rows_) {
    const auto problem = find_problem(last, row);
    THERMOE_EXPECT(!problem, "{}: {} {}", name(), problem->field, problem->problem);
    graphs[row.graph_size.value_or(0)].push_back(row);
    last = &row;
  }
  for (const auto& [size, its] : graphs) by_graph_.emplace(size, table_of(name(), source_, its));
}

OpCost OtherCosts::at(double batch, std::optional<double> context) const {
  const double at = context.value_or(least_context().value_or(0.0));
  if (!rows_.front().graph_size) return by_graph_.begin()->second.at(batch, at);
  const auto holds = std::ranges::find_if(
      by_graph_, [&](const auto& one) { return static_cast<double>(one.first) >= batch; });
  const bool beyond = holds == by_graph_.end();
  const CostTable& table = beyond ? by_graph_.rbegin()->second : holds->second;
  const double low = table.rows().front().tokens, high = table.rows().back().tokens;
  OpCost cost = table.at(std::clamp(batch, low, high), at);
  if (beyond) cost.basis = Basis::kExtrapolated;
  return cost;
}

std::optional<double> OtherCosts::least_context() const {
  std::optional<double> least;
  for (const OtherRow& row : rows_) {
    if (row.context) least = std::min(least.value_or(*row.context), *row.context);
  }
  return least;
}

OtherCosts OtherCosts::with_energy_scale(double factor) const {
  std::vector<OtherRow> scaled = rows_;
  for (OtherRow& row : scaled) {
    if (row.energy) row.energy = factor * *row.energy;
  }
  return {model_, engine_, source_, method_, std::move(scaled)};
}

}  // namespace thermoe
