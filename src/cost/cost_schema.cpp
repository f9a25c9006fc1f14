// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_schema.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

/// Every op that a file may hold, and how many numbers its shape has.
struct OpSpec {
  std::string op;
  std::size_t shape_size;
  std::string shape;
};
const std::vector<OpSpec>& known_ops() {
  static const std::vector<OpSpec> ops = {
      {"moe_experts", 4, "[experts, top_k, d_model, d_ff]"},
      {"moe_experts_plain", 4, "[experts, top_k, d_model, d_ff]"},
      {"linear", 2, "[out, in]"},
      {"fused_dequant_linear", 2, "[out, in]"},
      {"dequant_unpack", 2, "[out, in]"},
      {"activation_relu", 1, "[width]"},
      {"activation_gelu", 1, "[width]"},
      {"activation_silu_mul", 1, "[width]"},
      {"topk_route", 2, "[experts, top_k]"},
      {"decode_attention", 3, "[heads, head_dim, context]"},
  };
  return ops;
}

const std::vector<std::string>& dtypes() {
  static const std::vector<std::string> names = {"f32", "f16", "bf16", "fp8", "int8", "int4"};
  return names;
}

std::optional<Megahertz> megahertz(JsonObject& clocks, const std::string& name) {
  const auto mhz = clocks.optional_number(name, 1.0, 1e5);
  return mhz ? std::optional(Megahertz(*mhz)) : std::nullopt;
}

void read_clocks(JsonObject& root, CostModelHeader& header) {
  JsonObject clocks = root.object("clocks");
  header.sm_clock = megahertz(clocks, "sm_mhz");
  header.memory_clock = megahertz(clocks, "memory_mhz");
  clocks.finish();
}

FirstOrderThermal read_thermal(JsonObject thermal) {
  FirstOrderThermal model;
  model.ambient = Celsius(thermal.number("ambient_c", -60.0, 120.0));
  model.resistance = KelvinPerWatt(thermal.number("resistance_k_per_w", 1e-6, 10.0));
  model.time_constant = Seconds(thermal.number("time_constant_s", 1e-3, 1e6));
  thermal.ignore("method");
  thermal.finish();
  return model;
}

Perturbation read_perturbation(JsonObject object) {
  Perturbation p;
  if (object.has("thermal")) {
    JsonObject thermal = object.object("thermal");
    p.thermal = {.reference = Celsius(thermal.number("reference_c", -60.0, 150.0)),
                 .energy_per_c = thermal.number("energy_per_c", 0.0, 1.0)};
    thermal.ignore("method");
    thermal.finish();
  }
  if (object.has("power")) {
    JsonObject power = object.object("power");
    p.power = {.limit = Watts(power.number("limit_w", 1.0, 1e5)),
               .knee = power.number("knee", 0.0, 2.0),
               .slope = power.number("slope", 0.0, 1e3)};
    power.ignore("method");
    power.finish();
  }
  object.finish();
  return p;
}

SensorLag read_sensors(JsonObject object) {
  SensorLag lag;
  lag.delay = Seconds(object.number("delay_s", 0.0, 1.0));
  lag.window = Seconds(object.number("window_s", 1e-3, 1.0));
  if (const auto period = object.optional_number("period_s", 1e-4, 10.0)) {
    lag.period = Seconds(*period);
  }
  object.ignore("method");
  object.finish();
  return lag;
}

void read_sizes(JsonObject& object, ExpertShape& shape) {
  const nlohmann::json& sizes = object.array("shape");
  int* const places[] = {&shape.experts, &shape.top_k, &shape.d_model, &shape.d_ff};
  bool sound = sizes.size() == std::size(places);
  for (std::size_t i = 0; sound && i < sizes.size(); ++i) {
    sound = sizes[i].is_number_integer() && sizes[i] >= 1 && sizes[i] <= 1 << 24;
    if (sound) *places[i] = sizes[i].get<int>();
  }
  if (!sound) {
    throw FormatError(object.path(), object.key("shape"),
                      fmt::format("is {}, must be [experts, top_k, d_model, d_ff], four whole "
                                  "numbers",
                                  sizes.dump().substr(0, 60)));
  }
}

std::vector<ExpertShape> read_models(JsonObject& root) {
  std::vector<ExpertShape> models;
  const nlohmann::json& list = root.array("models");
  for (std::size_t i = 0; i < list.size(); ++i) {
    const std::string key = fmt::format("{}/{}", root.key("models"), i);
    models.push_back(read_expert_shape(JsonObject(list[i], root.path(), key)));
    for (std::size_t j = 0; j < i; ++j) {
      if (models[j].name != models[i].name) continue;
      throw FormatError(
          root.path(), key + "/name",
          fmt::format("repeats \"{}\" of {}/{}; keep one", models[i].name, root.key("models"), j));
    }
  }
  return models;
}

/// The spec of the entry's op, with the shape checked against it.
OpKey read_key(JsonObject& entry) {
  std::vector<std::string> names;
  names.reserve(known_ops().size());
  for (const OpSpec& spec : known_ops()) names.push_back(spec.op);
  OpKey key{.op = entry.choice("op", names)};
  const OpSpec& spec = *std::find_if(known_ops().begin(), known_ops().end(),
                                     [&](const OpSpec& s) { return s.op == key.op; });
  const nlohmann::json& shape = entry.array("shape");
  if (shape.size() != spec.shape_size) {
    throw FormatError(entry.path(), entry.key("shape"),
                      fmt::format("has {} numbers, {} needs {}", shape.size(), key.op, spec.shape));
  }
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool whole = shape[i].is_number_integer() && shape[i] >= 1 && shape[i] <= 1 << 24;
    if (!whole) {
      throw FormatError(entry.path(), fmt::format("{}/{}", entry.key("shape"), i),
                        fmt::format("must be a whole number within [1, {}]; the shape is {}",
                                    1 << 24, spec.shape));
    }
    key.shape.push_back(shape[i].get<int>());
  }
  key.dtype = entry.choice("dtype", dtypes());
  if (entry.has("group_size")) {
    key.group_size = static_cast<int>(entry.integer("group_size", 1, 1 << 16));
  }
  return key;
}

CostRow read_row(JsonObject row, const OpKey& key, const CostModelHeader& header) {
  const bool experts = key.op.starts_with("moe_experts");
  CostRow r;
  r.tokens = row.number("tokens", 1.0, 1e9);
  if (experts) r.active_experts = row.number("active_experts", 0.0, key.shape[0]);
  r.latency = Seconds(1e-6 * row.number("latency_us", kLeastMicroseconds, kMostMicroseconds));
  // The control loop lives on the joules of the expert layers: those may not be missing.
  std::optional<double> energy = row.optional_number("energy_uj", 0.0, kMostMicrojoules);
  if (experts && !energy) energy = row.number("energy_uj", 0.0, kMostMicrojoules);
  if (energy) r.energy = Joules(1e-6 * *energy);
  if (const auto heat = row.optional_number("heat_uk", 0.0, 1e12)) r.heat = Celsius(1e-6 * *heat);
  if (!r.heat && r.energy && header.thermal) {
    r.heat = header.thermal->heat(*r.energy);
  }
  if (row.has("samples")) r.samples = static_cast<int>(row.integer("samples", 1, 1 << 30));
  r.spread = row.optional_number("spread", 0.0, kMostSpread);
  r.energy_spread = row.optional_number("energy_spread", 0.0, kMostSpread);
  r.energy_fitted = row.boolean_or("energy_fitted", false);
  row.finish();
  return r;
}

/// Refuses a row that does not come after the one before it.
void check_order(const CostRow& last, const CostRow& row, const std::string& path,
                 const std::string& rows_key, std::size_t index) {
  const bool by_active = row.active_experts.has_value();
  const double previous =
      by_active && row.tokens == last.tokens ? *last.active_experts : last.tokens;
  const double value = by_active && row.tokens == last.tokens ? *row.active_experts : row.tokens;
  if (value > previous) return;
  const std::string name = by_active && row.tokens == last.tokens ? "active_experts" : "tokens";
  throw FormatError(
      path, fmt::format("{}/{}/{}", rows_key, index, name),
      value == previous
          ? fmt::format("repeats {} of {}/{}; keep one row", value, rows_key, index - 1)
          : fmt::format("is {} after {}; sort rows by tokens, then active_experts, "
                        "ascending",
                        value, previous));
}

CostTable read_table(JsonObject entry, const CostModelHeader& header) {
  OpKey key = read_key(entry);
  const CostSource source = read_cost_source(entry);
  const std::string method = entry.string_or("method", "");
  const nlohmann::json& json = entry.array("rows");
  const std::string rows_key = entry.key("rows");
  if (json.empty()) {
    throw FormatError(entry.path(), rows_key, "is empty; an entry needs at least one row");
  }
  std::vector<CostRow> rows;
  for (std::size_t i = 0; i < json.size(); ++i) {
    rows.push_back(read_row(JsonObject(json[i], entry.path(), fmt::format("{}/{}", rows_key, i)),
                            key, header));
    if (i > 0) check_order(rows[i - 1], rows[i], entry.path(), rows_key, i);
  }
  entry.finish();
  return {std::move(key), source, method, std::move(rows)};
}

void check_schema(JsonObject& root) {
  const std::int64_t schema = root.integer("schema", 0, INT64_MAX);
  if (schema != kCostSchema && schema != kExpertsOnlySchema) {
    throw FormatError(root.path(), root.key("schema"),
                      fmt::format("is {}; this thermoe reads schemas {} and {}: profile or derive "
                                  "the file again, or use the version that wrote it",
                                  schema, kExpertsOnlySchema, kCostSchema));
  }
  if (root.has("other") && schema < kCostSchema) {
    throw FormatError(root.path(), root.key("other"),
                      fmt::format("is of schema {}, and the file says {}; set \"schema\": {}",
                                  kCostSchema, schema, kCostSchema));
  }
}

}  // namespace

CostSource read_cost_source(JsonObject& entry) {
  const std::vector<CostSource> sources = {
      CostSource::kCupti,  CostSource::kTimed,      CostSource::kNsys,    CostSource::kNcu,
      CostSource::kKineto, CostSource::kCalibrated, CostSource::kDerived, CostSource::kSimulated};
  std::vector<std::string> names;
  names.reserve(sources.size());
  for (const CostSource s : sources) names.emplace_back(to_string(s));
  const std::string name = entry.choice("source", names);
  const auto at = std::find(names.begin(), names.end(), name) - names.begin();
  return sources[static_cast<std::size_t>(at)];
}

ExpertShape read_expert_shape(JsonObject object) {
  ExpertShape shape{.name = object.string("name")};
  shape.layers = static_cast<int>(object.integer("layers", 1, 10000));
  shape.gated = object.boolean_or("gated", true);
  read_sizes(object, shape);
  if (object.given("published_active_experts")) {
    const nlohmann::json& list = object.array("published_active_experts");
    for (std::size_t i = 0; i < list.size(); ++i) {
      JsonObject published(list[i], object.path(),
                           fmt::format("{}/{}", object.key("published_active_experts"), i));
      shape.published.push_back(
          {.tokens = static_cast<int>(published.integer("tokens", 1, 1 << 20)),
           .active_experts = published.number("active_experts", 0.0, shape.experts),
           .source = published.string("source")});
      published.finish();
    }
  }
  object.finish();
  return shape;
}

CostModelHeader read_cost_header(const nlohmann::json& json, const std::string& path) {
  JsonObject root(json, path);
  check_schema(root);
  CostModelHeader header{.path = path};
  header.device = root.string("device");
  header.driver = root.string("driver");
  read_clocks(root, header);
  header.power_definition = root.string("power_definition");
  header.purpose = root.string_or("purpose", "");
  header.active_idle = Watts(root.number("idle_active_w", 0.0, 1e5));
  header.cold_idle = Watts(root.number("idle_cold_w", 0.0, 1e5));
  if (root.has("thermal")) header.thermal = read_thermal(root.object("thermal"));
  if (root.has("perturbation"))
    header.perturbation = read_perturbation(root.object("perturbation"));
  if (root.given("sensors")) header.sensors = read_sensors(root.object("sensors"));
  if (root.given("models")) header.models = read_models(root);
  root.ignore("entries");
  root.ignore("other");
  root.finish();
  return header;
}

std::vector<CostTable> read_cost_tables(const nlohmann::json& json, const CostModelHeader& header) {
  JsonObject root(json, header.path);
  const nlohmann::json& entries = root.array("entries");
  if (entries.empty()) {
    throw FormatError(header.path, root.key("entries"), "is empty; a cost model needs entries");
  }
  std::vector<CostTable> tables;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    const std::string key = fmt::format("{}/{}", root.key("entries"), i);
    tables.push_back(read_table(JsonObject(entries[i], header.path, key), header));
    for (std::size_t j = 0; j < i; ++j) {
      if (tables[j].key() != tables[i].key()) continue;
      throw FormatError(header.path, key,
                        fmt::format("repeats {} of {}/{}; merge their rows",
                                    to_string(tables[i].key()), root.key("entries"), j));
    }
  }
  return tables;
}

}  // namespace thermoe
