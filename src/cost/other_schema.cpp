// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "cost/cost_schema.h"

namespace thermoe {
namespace {

OtherRow read_row(JsonObject row) {
  OtherRow r;
  r.batch = row.number("batch", 1.0, 1e9);
  if (row.given("graph_size")) {
    r.graph_size = static_cast<int>(row.integer("graph_size", 1, 1 << 30));
  }
  r.context = row.optional_number("context", 0.0, 1e9);
  r.latency = Seconds(1e-6 * row.number("latency_us", kLeastMicroseconds, kMostMicroseconds));
  if (const auto energy = row.optional_number("energy_uj", 0.0, kMostMicrojoules)) {
    r.energy = Joules(1e-6 * *energy);
  }
  if (row.given("samples")) r.samples = static_cast<int>(row.integer("samples", 1, 1 << 30));
  r.spread = row.optional_number("spread", 0.0, kMostSpread);
  r.energy_spread = row.optional_number("energy_spread", 0.0, kMostSpread);
  row.finish();
  return r;
}

std::string read_model(JsonObject& entry, const CostModelHeader& header) {
  std::vector<std::string> names;
  for (const ExpertShape& shape : header.models) names.push_back(shape.name);
  if (names.empty()) {
    throw FormatError(
        entry.path(), entry.key("model"),
        "can be no model's: the file has no /models; add the model's name, layers and "
        "shape there");
  }
  return entry.choice("model", names);
}

OtherCosts read_other(JsonObject entry, const CostModelHeader& header) {
  std::string model = read_model(entry, header);
  std::string engine = entry.string("engine");
  const CostSource source = read_cost_source(entry);
  std::string method = entry.string_or("method", "");
  const nlohmann::json& json = entry.array("rows");
  if (json.empty()) {
    throw FormatError(entry.path(), entry.key("rows"), "is empty; it needs at least one row");
  }
  std::vector<OtherRow> rows;
  for (std::size_t i = 0; i < json.size(); ++i) {
    const std::string key = fmt::format("{}/{}", entry.key("rows"), i);
    const OtherRow row = read_row(JsonObject(json[i], entry.path(), key));
    if (const auto problem = find_problem(rows.empty() ? nullptr : &rows.back(), row)) {
      throw FormatError(entry.path(), key + "/" + problem->field, problem->problem);
    }
    rows.push_back(row);
  }
  entry.finish();
  return {std::move(model), std::move(engine), source, std::move(method), std::move(rows)};
}

}  // namespace

std::vector<OtherCosts> read_other_costs(const nlohmann::json& json,
                                         const CostModelHeader& header) {
  std::vector<OtherCosts> others;
  JsonObject root(json, header.path);
  if (!root.given("other")) return others;
  const nlohmann::json& list = root.array("other");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("{}/{}", root.key("other"), i);
    others.push_back(read_other(JsonObject(list[i], header.path, key), header));
    for (std::size_t j = 0; j < i; ++j) {
      if (others[j].name() != others[i].name()) continue;
      throw FormatError(header.path, key,
                        fmt::format("repeats {} of {}/{}; merge their rows", others[i].name(),
                                    root.key("other"), j));
    }
  }
  return others;
}

}  // namespace thermoe
