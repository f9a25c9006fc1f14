// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "control/config_reader.h"
#include "core/errors.h"
#include "core/json_file.h"
#include "cost/cost_schema.h"
#include "run/experiment.h"
#include "run/experiment_names.h"
#include "run/serving_reader.h"

namespace thermoe {
namespace {

using nlohmann::json;

constexpr double kMaxDuration = 1e5;

/// An enumeration whose values are the positions of its names.
template <class Enum>
Enum choose(JsonObject& object, const std::string& name, Enum fallback,
            const std::vector<std::string>& names) {
  const std::string word = object.choice_or(name, names[static_cast<std::size_t>(fallback)], names);
  return static_cast<Enum>(std::find(names.begin(), names.end(), word) - names.begin());
}

void read_text(JsonObject object, TextSpec& text) {
  text.file = object.string_or("file", text.file);
  text.index = object.string_or("index", text.index);
  text.calibration = object.string_or("calibration", text.calibration);
  text.calibration_index = object.string_or("calibration_index", text.calibration_index);
  text.context = static_cast<int>(object.integer_or("context", text.context, 2, 1 << 20));
  object.finish();
}

/// The recorded router that is decoded, where "decoder" says so.
std::optional<TraceSpec> read_trace(JsonObject& object, const Experiment& e) {
  if (object.choice_or("decoder", kDecoders.front(), kDecoders) == "model") {
    if (!object.given("trace")) return std::nullopt;
    throw FormatError(object.path(), object.key("trace"),
                      "has no meaning for a model; remove it, or add \"decoder\": \"trace\"");
  }
  for (const char* name : {"model", "text"}) {
    if (!object.given(name)) continue;
    throw FormatError(object.path(), object.key(name),
                      "has no meaning for a recorded router; remove it");
  }
  if (e.workload == Workload::kHighComplexity) {
    throw FormatError(object.path(), object.key("workload"),
                      "is \"high_complexity\", which chooses text; a recorded router has none: use "
                      "\"standard\"");
  }
  JsonObject given = object.object("trace");
  TraceSpec trace{.file = given.string("file")};
  given.finish();
  if (object.given("batch") || e.workload != Workload::kStandard) trace.batch = e.batch;
  return trace;
}

std::vector<Strategy> read_strategies(JsonObject& object) {
  if (!object.given("strategies")) {
    return {Strategy::kBaseline, Strategy::kStaticOptimal, Strategy::kKernelAwareTtha};
  }
  std::vector<Strategy> strategies;
  const json& names = object.array("strategies");
  for (std::size_t i = 0; i < names.size(); ++i) {
    // An object of its own gives `choice` something to name in its message.
    const json wrapped = {{std::to_string(i), names[i]}};
    JsonObject element(wrapped, object.path(), object.key("strategies"));
    const Strategy strategy =
        strategy_from(element.choice(std::to_string(i), strategy_names())).value();
    if (std::find(strategies.begin(), strategies.end(), strategy) != strategies.end()) {
      throw FormatError(object.path(), fmt::format("{}/{}", object.key("strategies"), i),
                        fmt::format("{} stands twice; keep one", to_string(strategy)));
    }
    strategies.push_back(strategy);
  }
  if (strategies.empty()) {
    throw FormatError(object.path(), object.key("strategies"), "is empty; name one at least");
  }
  return strategies;
}

std::optional<double> read_arrival(JsonObject object, const std::optional<double>& fallback) {
  const std::string kind = object.choice_or("kind", "fixed_rate", kArrivals);
  std::optional<double> rate = object.optional_number("tokens_per_second", 1.0, 1e7);
  if (kind == "saturated" && rate) {
    throw FormatError(object.path(), object.key("tokens_per_second"),
                      "has no meaning for saturated arrival; remove it, or use \"fixed_rate\"");
  }
  object.finish();
  if (kind == "saturated") return std::nullopt;
  return rate ? rate : fallback;
}

PlantSpec read_plant_spec(JsonObject object) {
  PlantSpec plant;
  plant.file = object.string_or("file", plant.file);
  plant.cost_model = object.string_or("cost_model", plant.cost_model);
  plant.energy_scale = object.number_or("energy_scale", 1.0, 0.1, 10.0);
  plant.idle_offset = Watts(object.number_or("idle_offset_w", 0.0, -100.0, 300.0));
  if (const auto s = object.optional_number("sensor_delay_s", 0.0, 10.0)) {
    plant.sensor_delay = Seconds(*s);
  }
  plant.step_noise = object.number_or("step_noise", plant.step_noise, 0.0, 0.5);
  object.finish();
  return plant;
}

GpuSpec read_gpu_spec(JsonObject object) {
  GpuSpec gpu;
  if (object.given("distinct_layers")) {
    gpu.distinct_layers = static_cast<int>(object.integer_or("distinct_layers", 1, 1, 1024));
  }
  gpu.calibrate = object.boolean_or("calibrate", gpu.calibrate);
  gpu.cool_down = Seconds(object.number_or("cool_down_s", gpu.cool_down.value, 0.0, 600.0));
  object.finish();
  return gpu;
}

Disturbance read_disturbance(JsonObject object) {
  Disturbance d;
  const std::string kind = object.choice("kind", kDisturbances);
  d.kind = static_cast<Disturbance::Kind>(
      std::find(kDisturbances.begin(), kDisturbances.end(), kind) - kDisturbances.begin());
  d.from = Seconds(object.number("from_s", 0.0, kMaxDuration));
  d.to = Seconds(object.number("to_s", 0.0, kMaxDuration));
  if (d.to <= d.from) {
    throw FormatError(
        object.path(), object.key("to_s"),
        fmt::format("is {}, must be later than from_s ({})", d.to.value, d.from.value));
  }
  if (d.kind == Disturbance::Kind::kBackground) {
    d.power_fraction = object.optional_number("power_fraction", 0.001, 1.0);
    if (d.power_fraction && object.given("power_w")) {
      throw FormatError(object.path(), object.key("power_fraction"),
                        "and power_w say the same in two ways; keep one");
    }
    d.power = Watts(object.number_or("power_w", 0.0, 0.0, 1e4));
    d.bandwidth_share = object.number_or("bandwidth_share", 0.0, 0.0, 0.9);
  }
  if (d.kind == Disturbance::Kind::kAmbient) {
    d.ambient = Celsius(object.number("offset_c", 0.0, 100.0));
  }
  object.finish();
  return d;
}

std::vector<Disturbance> read_disturbances(JsonObject& object) {
  std::vector<Disturbance> disturbances;
  if (!object.given("disturbances")) return disturbances;
  const json& list = object.array("disturbances");
  for (std::size_t i = 0; i < list.size(); ++i) {
    disturbances.push_back(read_disturbance(
        {list[i], object.path(), fmt::format("{}/{}", object.key("disturbances"), i)}));
  }
  return disturbances;
}

ControlSpec read_control(JsonObject object) {
  ControlSpec control;
  control.mode = ttha_mode_from(object.choice_or("mode", std::string(to_string(control.mode)),
                                                 ttha_mode_names()))
                     .value();
  control.k_min = static_cast<int>(object.integer_or("k_min", control.k_min, 1, 1024));
  control.price = object.optional_number("price", 0.0, 1e6);
  read_sensor_lag(object, control.sensor_delay, control.sensor_window);
  read_guard_rails(object, control.guard);
  object.finish();
  return control;
}

/// A name, or a shape as a cost model's "models" have it.
ChargedAs read_charged(JsonObject& object, const json& value) {
  if (!value.is_object()) return {.name = object.string("costed_as")};
  const ExpertShape shape = read_expert_shape(object.object("costed_as"));
  return {.name = shape.name, .given = shape};
}

int read_batch(JsonObject& object, Workload workload) {
  if (workload == Workload::kSmallBatch || workload == Workload::kLargeBatch) {
    if (object.given("batch")) {
      throw FormatError(
          object.path(), object.key("batch"),
          "is set by this workload (small_batch: 4, large_batch: 64); remove it, or use "
          "the workload \"standard\"");
    }
    return workload == Workload::kSmallBatch ? 4 : 64;
  }
  return static_cast<int>(object.integer_or("batch", 16, 1, 1024));
}

void read_run_lengths(JsonObject& object, Experiment& e) {
  e.duration = Seconds(object.number_or("duration_s", e.duration.value, 1.0, kMaxDuration));
  e.tick = Seconds(object.number_or("tick_s", e.tick.value, 0.01, 1.0));
  e.decode_steps_per_tick = static_cast<int>(
      object.integer_or("decode_steps_per_tick", e.decode_steps_per_tick, 1, 1000));
  e.warmup_steps = static_cast<int>(object.integer_or("warmup_steps", e.warmup_steps, 1, 100000));
  e.calibration_samples =
      static_cast<int>(object.integer_or("calibration_samples", e.calibration_samples, 1, 10000));
  e.kl_every = static_cast<int>(object.integer_or("kl_every", e.kl_every, 0, 100000));
  e.rounds = static_cast<int>(object.integer_or("rounds", e.rounds, 1, 100));
  if (object.given("round")) {
    e.round = static_cast<int>(object.integer_or("round", 1, 1, e.rounds));
  }
  e.seed = static_cast<std::uint64_t>(object.integer_or("seed", 1, 0, INT64_MAX));
}

}  // namespace

Experiment read_experiment(const std::string& path) {
  return experiment_from(read_json_file(path), path);
}

Experiment experiment_from(const nlohmann::json& json, const std::string& path) {
  JsonObject object(json, path);
  Experiment e{.path = path};
  object.integer_or("schema", 1, 1, 1);
  e.name = object.string_or("name", std::filesystem::path(path).stem().string());
  if (e.name.empty() || e.name.find('/') != std::string::npos) {
    throw FormatError(path, "/name", "names the run's folder: must not be empty or hold a slash");
  }
  e.description = object.string_or("description", "");
  e.machine = choose(object, "machine", e.machine, kMachines);
  e.model = object.string_or("model", e.model);
  if (object.given("text")) read_text(object.object("text"), e.text);
  e.strategies = read_strategies(object);
  e.arrivals = read_arriving(object, json);
  e.workload = choose(object, "workload", e.workload, kWorkloads);
  e.batch = read_batch(object, e.workload);
  e.trace = read_trace(object, e);
  if (e.arrivals) e.tokens_per_second.reset();
  if (object.given("arrival")) e.tokens_per_second = read_arrival(object.object("arrival"), 1000.0);
  e.expert_type = choose(object, "expert_type", e.expert_type, kExpertTypes);
  if (object.given("targets")) e.targets = read_targets(object.object("targets"));
  e.objective = objective_from(object.choice_or("objective", std::string(to_string(e.objective)),
                                                objective_names()))
                    .value();
  e.cost_model = object.string_or("cost_model", e.cost_model);
  if (object.given("plant")) e.plant = read_plant_spec(object.object("plant"));
  if (object.given("gpu")) e.gpu = read_gpu_spec(object.object("gpu"));
  if (object.given("costed_as")) e.costed_as = read_charged(object, json["costed_as"]);
  if (object.given("engine"))
    e.engine = read_engine(object.object("engine"), e.arrivals.has_value());
  e.disturbances = read_disturbances(object);
  if (object.given("control")) e.control = read_control(object.object("control"));
  read_run_lengths(object, e);
  object.finish();
  for (std::size_t i = 0; i < e.disturbances.size(); ++i) {
    if (e.disturbances[i].from < e.duration) continue;
    throw FormatError(path, fmt::format("/disturbances/{}/from_s", i),
                      fmt::format("is {}, but the run ends at duration_s = {}",
                                  e.disturbances[i].from.value, e.duration.value));
  }
  check_serving(e);
  return e;
}

}  // namespace thermoe
