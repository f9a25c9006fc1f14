// SPDX-License-Identifier: Apache-2.0
#include "engine/engine_config.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "control/config_reader.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "core/named_values.h"
#include "cost/cost_schema.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr NamedValues<TelemetryKind, 3> kSources{{
    {TelemetryKind::kNvml, "nvml"},
    {TelemetryKind::kCaller, "caller"},
    {TelemetryKind::kSimulated, "simulated"},
}};
constexpr int kMostLayers = 1024, kMostExperts = 1024;  // experts: as the routing ops

template <class T>
T chosen(JsonObject& object, const std::string& name, T fallback,
         std::optional<T> (*from)(std::string_view), const std::vector<std::string>& names) {
  return from(object.choice_or(name, std::string(to_string(fallback)), names)).value();
}

int whole(JsonObject& object, const std::string& name, int fallback, int low, int high) {
  return static_cast<int>(object.integer_or(name, fallback, low, high));
}

/// Relative ones are below `folder`.
std::string path_of(JsonObject& object, const std::string& name, const std::string& folder) {
  const std::string given = object.string(name);
  const auto path = std::filesystem::path(folder) / given;
  std::error_code ignored;
  if (std::filesystem::exists(path, ignored)) return path.string();
  throw FormatError(object.path(), object.key(name),
                    fmt::format("\"{}\" is not there: {} does not exist; correct the path", given,
                                std::filesystem::absolute(path, ignored).string()));
}

std::vector<float> read_bias(JsonObject& model, int layers, int experts) {
  std::vector<float> bias;
  for (const json& row : model.array("selection_bias")) {
    if (!row.is_array() || row.size() != static_cast<std::size_t>(experts)) {
      throw FormatError(
          model.path(), model.key("selection_bias"),
          fmt::format("must be {} lists of {} numbers each, one of a layer", layers, experts));
    }
    for (const json& number : row) {
      if (!number.is_number()) {
        throw FormatError(model.path(), model.key("selection_bias"), "holds what is no number");
      }
      bias.push_back(number.get<float>());
    }
  }
  return bias;
}

void read_model(JsonObject model, ControllerConfig& control) {
  for (const char* name : {"layers", "experts"}) {
    if (model.integer(name, 0, kMostExperts) > 0) continue;
    throw FormatError(model.path(), model.key(name),
                      "is 0: a model without experts has nothing to route; Thermoe controls "
                      "mixture-of-experts models");
  }
  control.layers = static_cast<int>(model.integer("layers", 1, kMostLayers));
  RouterSpec& router = control.router;
  router.experts = static_cast<int>(model.integer("experts", 1, kMostExperts));
  router.k = static_cast<int>(model.integer("k", 1, router.experts));
  router.score =
      chosen(model, "score_function", router.score, score_function_from, score_function_names());
  router.groups = whole(model, "groups", router.groups, 1, router.experts);
  router.groups_kept = whole(model, "groups_kept", router.groups_kept, 1, router.experts);
  router.denominator = chosen(model, "denominator", router.denominator, weight_denominator_from,
                              weight_denominator_names());
  router.routed_scale = model.number_or("routed_scale", router.routed_scale, 1e-6, 1e6);
  router.loss_scores =
      chosen(model, "loss_scores", router.loss_scores, loss_scores_from, loss_scores_names());
  if (model.given("selection_bias")) {
    router.selection_bias = read_bias(model, control.layers, router.experts);
  }
  if (const auto problem = find_problem(router, control.layers)) {
    throw FormatError(model.path(), model.key(problem->key), problem->problem);
  }
  model.finish();
}

void read_control(JsonObject object, EngineConfig& config) {
  ControllerConfig& control = config.control;
  config.own_thread = object.boolean_or("thread", config.own_thread);
  control.tick = Seconds(object.number_or("tick_s", control.tick.value, 0.01, 1.0));
  config.calibration_samples =
      whole(object, "calibration_samples", config.calibration_samples, 1, 1000);
  control.step_period = Seconds(object.number_or("step_period_s", 0.0, 0.0, 100.0));
  control.k_min = whole(object, "k_min", control.k_min, 1, control.router.k);
  control.price = object.optional_number("price", 0.0, 1e6);
  read_sensor_lag(object, config.sensor_delay, config.sensor_window);
  read_guard_rails(object, control.guard);
  object.finish();
}

void read_engine(JsonObject object, EngineConfig& config) {
  if (object.given("name")) config.engine = object.string("name");
  config.context = object.optional_number("context", 0.0, 1e9);
  // Only a file that tells of batches is that of an engine whose requests arrive.
  const bool arrivals = object.given("batch_limit") || object.given("graph_sizes");
  const ServingEngine batching = read_batching(object);
  if (arrivals) config.control.engine = batching;
  object.finish();
}

TelemetryConfig read_telemetry(JsonObject object, const std::string& folder) {
  TelemetryConfig telemetry;
  telemetry.kind =
      value_of(kSources, object.choice_or("source", "nvml", all_names(kSources))).value();
  switch (telemetry.kind) {
    case TelemetryKind::kNvml:
      telemetry.gpu = object.string_or("gpu", telemetry.gpu);
      telemetry.library = object.string_or("library", telemetry.library);
      break;
    case TelemetryKind::kCaller:
      break;
    case TelemetryKind::kSimulated:
      telemetry.plant = path_of(object, "plant", folder);
      telemetry.cost_model = path_of(object, "cost_model", folder);
      telemetry.energy_scale = object.number_or("energy_scale", 1.0, 0.1, 10.0);
      telemetry.seed = static_cast<std::uint64_t>(object.integer_or("seed", 1, 0, INT64_MAX));
      break;
  }
  object.finish();
  return telemetry;
}

MetricsConfig read_metrics(JsonObject object, const EngineConfig& config) {
  MetricsConfig metrics;
  metrics.port = static_cast<std::uint16_t>(object.integer("port", 0, 65535));
  metrics.address = object.string_or("address", metrics.address);
  metrics.model_name = object.string_or("model_name", config.costed_as);
  metrics.engine = object.string_or("engine", metrics.engine);
  object.finish();
  return metrics;
}

/// What only together makes no sense.
void check(const EngineConfig& config) {
  if (config.telemetry.kind == TelemetryKind::kNvml && !config.own_thread) {
    throw FormatError(config.path, "/control/thread",
                      "is false, but sensors of a real GPU are read in real time; leave it out, or "
                      "hand the readings in (\"source\": \"caller\")");
  }
  if (config.control.engine && config.control.step_period > Seconds(0)) {
    throw FormatError(
        config.path, "/control/step_period_s",
        "is that of an engine whose steps come at a fixed rate; with engine.batch_limit "
        "or engine.graph_sizes the controller chooses the period: keep one of the two");
  }
  if (!config.control.engine && config.control.objective == Objective::kThroughput) {
    throw FormatError(config.path, "/objective",
                      "\"throughput\" is for an engine whose requests arrive; give "
                      "engine.batch_limit, or leave it out");
  }
  const Strategy strategy = config.control.strategy;
  if (config.by_mask && (strategy == Strategy::kReducedK || strategy == Strategy::kOpportunistic)) {
    throw FormatError(config.path, "/strategy",
                      fmt::format("{} cannot be applied by a mask, which takes no expert from one "
                                  "token alone; use \"applies\": \"plan\"",
                                  to_string(strategy)));
  }
}

}  // namespace

EngineConfig read_engine_config(const std::string& text_or_path) {
  const auto first = text_or_path.find_first_not_of(" \t\r\n");
  if (first == std::string::npos) {
    throw UsageError("configuration: is empty; give JSON text, or the path of a JSON file");
  }
  const bool is_text = text_or_path[first] == '{';
  EngineConfig config{.path = is_text ? "configuration" : text_or_path};
  const std::string folder =
      is_text ? "" : std::filesystem::path(text_or_path).parent_path().string();
  const json value = is_text ? parse_json(text_or_path, config.path) : read_json_file(config.path);
  JsonObject object(value, config.path);
  object.integer_or("schema", 1, 1, 1);
  read_model(object.object("model"), config.control);
  config.by_mask = object.choice_or("applies", "plan", {"plan", "mask"}) == "mask";
  config.control.strategy =
      chosen(object, "strategy", Strategy::kKernelAwareTtha, strategy_from, strategy_names());
  config.control.mode = TthaMode::kDualOnly;
  config.control.objective =
      chosen(object, "objective", config.control.objective, objective_from, objective_names());
  if (object.given("targets")) config.control.targets = read_targets(object.object("targets"));
  config.cost_model = path_of(object, "cost_model", folder);
  if (object.has("costed_as") && value["costed_as"].is_object()) {
    config.shape = read_expert_shape(object.object("costed_as"));
  } else {
    config.costed_as = object.string("costed_as");
  }
  config.dtype = object.string_or("dtype", config.dtype);
  if (object.given("engine")) read_engine(object.object("engine"), config);
  if (object.given("telemetry")) {
    config.telemetry = read_telemetry(object.object("telemetry"), folder);
  }
  if (object.given("control")) read_control(object.object("control"), config);
  if (object.given("metrics")) config.metrics = read_metrics(object.object("metrics"), config);
  object.finish();
  check(config);
  return config;
}

}  // namespace thermoe
