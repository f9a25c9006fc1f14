// SPDX-License-Identifier: Apache-2.0
#include "cost/kernel_cost_model.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"
#include "cost/cost_schema.h"

namespace thermoe {
namespace {

OpKey expert_key(const ExpertShape& shape, const std::string& dtype) {
  return {.op = shape.gated ? "moe_experts" : "moe_experts_plain",
          .shape = {shape.experts, shape.top_k, shape.d_model, shape.d_ff},
          .dtype = dtype};
}

}  // namespace

KernelCostModel KernelCostModel::load(const std::string& path) {
  return from_json(read_json_file(path), path);
}

KernelCostModel KernelCostModel::from_json(const nlohmann::json& json, const std::string& path) {
  CostModelHeader header = read_cost_header(json, path);
  std::vector<CostTable> tables = read_cost_tables(json, header);
  std::vector<OtherCosts> others = read_other_costs(json, header);
  return {std::move(header), std::move(tables), std::move(others)};
}

KernelCostModel::KernelCostModel(CostModelHeader header, std::vector<CostTable> tables,
                                 std::vector<OtherCosts> others)
    : header_(std::move(header)), tables_(std::move(tables)), others_(std::move(others)) {}

const CostTable* KernelCostModel::find(const OpKey& key) const {
  const CostTable* found = nullptr;
  for (const CostTable& table : tables_) {
    const OpKey& k = table.key();
    if (k == key) return &table;
    const bool fits =
        k.op == key.op && k.shape == key.shape && k.dtype == key.dtype && !key.group_size;
    if (!fits) continue;
    if (found != nullptr) return nullptr;  // several group sizes: the caller must say which
    found = &table;
  }
  return found;
}

const CostTable* KernelCostModel::find_experts(const ExpertShape& shape,
                                               const std::string& dtype) const {
  return find(expert_key(shape, dtype));
}

const CostTable& KernelCostModel::expert_table(const ExpertShape& shape,
                                               const std::string& dtype) const {
  if (const CostTable* table = find_experts(shape, dtype)) return *table;
  std::vector<std::string> known;
  for (const CostTable& table : tables_) {
    if (table.by_active_experts()) known.push_back(to_string(table.key()));
  }
  throw UsageError(fmt::format(
      "{}: /entries: no single table {} for {}; the file has: {}. Profile that "
      "shape, or choose one of these",
      header_.path, to_string(expert_key(shape, dtype)), shape.name,
      known.empty() ? "no moe_experts tables" : fmt::format("{}", fmt::join(known, "; "))));
}

Lookup KernelCostModel::layer(const ExpertShape& shape, const std::string& dtype, double tokens,
                              double active) const {
  const OpCost cost = expert_table(shape, dtype).at(tokens, active);
  THERMOE_EXPECT(cost.energy, "{}: moe_experts rows without energy", header_.path);
  return {.cost = {cost.latency, *cost.energy, cost.heat.value_or(Celsius{})}, .basis = cost.basis};
}

StepCostFit KernelCostModel::fit_step_cost(const ExpertShape& shape,
                                           const std::vector<std::string>& dtypes, int tokens,
                                           double layer_repeat) const {
  std::vector<const CostTable*> tables;
  tables.reserve(dtypes.size());
  for (const std::string& dtype : dtypes) tables.push_back(&expert_table(shape, dtype));
  return thermoe::fit_step_cost(tables, tokens, shape.top_k, layer_repeat, header_.active_idle);
}

const ExpertShape* KernelCostModel::find_shape(std::string_view name) const {
  for (const ExpertShape& shape : header_.models) {
    if (shape.name == name) return &shape;
  }
  return nullptr;
}

StepCost KernelCostModel::step_cost(const ExpertShape& shape,
                                    const std::vector<std::string>& dtypes, int tokens,
                                    double layer_repeat) const {
  return fit_step_cost(shape, dtypes, tokens, layer_repeat).step;
}

FirstOrderThermal KernelCostModel::thermal() const {
  if (header_.thermal) return *header_.thermal;
  throw FormatError(header_.path, "/thermal",
                    "is missing, and temperatures cannot be predicted without it; add ambient_c, "
                    "resistance_k_per_w and time_constant_s, or set no temperature target");
}

KernelCostModel KernelCostModel::with_energy_scale(double factor) const {
  THERMOE_EXPECT(std::isfinite(factor) && factor > 0.0, "energy scale {} must be > 0", factor);
  std::vector<CostTable> scaled;
  scaled.reserve(tables_.size());
  for (const CostTable& table : tables_) scaled.push_back(table.with_energy_scale(factor));
  std::vector<OtherCosts> others;
  others.reserve(others_.size());
  for (const OtherCosts& other : others_) others.push_back(other.with_energy_scale(factor));
  return {header_, std::move(scaled), std::move(others)};
}

}  // namespace thermoe
