// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_writer.h"

#include <fmt/format.h>

#include <cstdlib>
#include <nlohmann/json.hpp>

#include "core/atomic_file.h"
#include "core/json_file.h"
#include "cost/cost_schema.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

/// The shortest number of millionths that is read back as `value`: 36.57 and not
/// 36.570000000000004.
double millionths(double value) {
  constexpr int kAllDigits = 17;
  double shown = 1e6 * value;
  for (int digits = 1; digits <= kAllDigits; ++digits) {
    shown = std::strtod(fmt::format("{:.{}g}", 1e6 * value, digits).c_str(), nullptr);
    if (1e-6 * shown == value) break;
  }
  return shown;
}

template <class T>
void set(Json& object, const char* name, const std::optional<T>& value) {
  if (value) object[name] = *value;
}

Json thermal_json(const FirstOrderThermal& thermal) {
  return {{"ambient_c", thermal.ambient.value},
          {"resistance_k_per_w", thermal.resistance.value},
          {"time_constant_s", thermal.time_constant.value}};
}

Json perturbation_json(const Perturbation& perturbation) {
  Json out = Json::object();
  if (const auto& p = perturbation.thermal) {
    out["thermal"] = {{"reference_c", p->reference.value}, {"energy_per_c", p->energy_per_c}};
  }
  if (const auto& p = perturbation.power) {
    out["power"] = {{"limit_w", p->limit.value}, {"knee", p->knee}, {"slope", p->slope}};
  }
  return out;
}

Json header_json(const CostModelHeader& h) {
  Json clocks = Json::object();
  if (h.sm_clock) clocks["sm_mhz"] = h.sm_clock->value;
  if (h.memory_clock) clocks["memory_mhz"] = h.memory_clock->value;
  Json out = {{"schema", kExpertsOnlySchema}};
  if (!h.purpose.empty()) out["purpose"] = h.purpose;
  out["device"] = h.device;
  out["driver"] = h.driver;
  out["clocks"] = clocks;
  out["power_definition"] = h.power_definition;
  out["idle_active_w"] = h.active_idle.value;
  out["idle_cold_w"] = h.cold_idle.value;
  if (h.thermal) out["thermal"] = thermal_json(*h.thermal);
  out["perturbation"] = perturbation_json(h.perturbation);
  if (h.sensors) {
    out["sensors"] = {{"delay_s", h.sensors->delay.value}, {"window_s", h.sensors->window.value}};
    if (h.sensors->period) out["sensors"]["period_s"] = h.sensors->period->value;
  }
  for (const ExpertShape& shape : h.models) out["models"].push_back(to_json(shape));
  return out;
}

/// Whether a reader computes this heat where it is left out.
bool follows(const CostRow& row, const std::optional<FirstOrderThermal>& thermal) {
  return row.heat && row.energy && thermal && row.heat == thermal->heat(*row.energy);
}

Json row_json(const CostRow& row, const std::optional<FirstOrderThermal>& thermal) {
  Json out = {{"tokens", row.tokens}};
  set(out, "active_experts", row.active_experts);
  out["latency_us"] = millionths(row.latency.value);
  if (row.energy) out["energy_uj"] = millionths(row.energy->value);
  if (row.heat && !follows(row, thermal)) out["heat_uk"] = millionths(row.heat->value);
  set(out, "samples", row.samples);
  set(out, "spread", row.spread);
  set(out, "energy_spread", row.energy_spread);
  if (row.energy_fitted) out["energy_fitted"] = true;
  return out;
}

Json row_json(const OtherRow& row) {
  Json out = {{"batch", row.batch}};
  set(out, "graph_size", row.graph_size);
  set(out, "context", row.context);
  out["latency_us"] = millionths(row.latency.value);
  if (row.energy) out["energy_uj"] = millionths(row.energy->value);
  set(out, "samples", row.samples);
  set(out, "spread", row.spread);
  set(out, "energy_spread", row.energy_spread);
  return out;
}

Json table_json(const CostTable& table, const std::optional<FirstOrderThermal>& thermal) {
  const OpKey& key = table.key();
  Json out = {{"op", key.op}, {"shape", key.shape}, {"dtype", key.dtype}};
  set(out, "group_size", key.group_size);
  out["source"] = to_string(table.source());
  if (!table.method().empty()) out["method"] = table.method();
  for (const CostRow& row : table.rows()) out["rows"].push_back(row_json(row, thermal));
  return out;
}

}  // namespace

nlohmann::ordered_json to_json(const ExpertShape& shape) {
  Json out = {{"name", shape.name},
              {"layers", shape.layers},
              {"shape", {shape.experts, shape.top_k, shape.d_model, shape.d_ff}},
              {"gated", shape.gated}};
  for (const PublishedActive& p : shape.published) {
    out["published_active_experts"].push_back(
        {{"tokens", p.tokens}, {"active_experts", p.active_experts}, {"source", p.source}});
  }
  return out;
}

nlohmann::ordered_json to_json(const OtherCosts& other) {
  Json out = {
      {"model", other.model()}, {"engine", other.engine()}, {"source", to_string(other.source())}};
  if (!other.method().empty()) out["method"] = other.method();
  for (const OtherRow& row : other.rows()) out["rows"].push_back(row_json(row));
  return out;
}

nlohmann::ordered_json to_json(const KernelCostModel& model) {
  Json out = header_json(model.header());
  if (!model.others().empty()) out["schema"] = kCostSchema;
  for (const OtherCosts& other : model.others()) out["other"].push_back(to_json(other));
  for (const CostTable& table : model.tables()) {
    out["entries"].push_back(table_json(table, model.header().thermal));
  }
  return out;
}

void write_cost_model(const KernelCostModel& model, const std::string& path) {
  write_file_atomically(path, json_text(to_json(model), 1) + "\n");
}

}  // namespace thermoe
