// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/plant_config.h"

#include <cmath>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

constexpr double kMaxWatts = 1e5;

/// `{"ambient_c", "poles": [{"r_k_per_w", "tau_s"}, ...]}`; leaves other members to the caller.
ThermalParameters read_thermal(JsonObject& object) {
  ThermalParameters thermal;
  thermal.ambient = Celsius(object.number("ambient_c", -100.0, 200.0));
  const nlohmann::json& poles = object.array("poles");
  if (poles.empty()) {
    throw FormatError(object.path(), object.key("poles"), "empty: at least one pole is needed");
  }
  for (std::size_t i = 0; i < poles.size(); ++i) {
    JsonObject pole(poles[i], object.path(), fmt::format("{}/{}", object.key("poles"), i));
    thermal.poles.push_back({.resistance = KelvinPerWatt(pole.number("r_k_per_w", 0.0, 10.0)),
                             .time_constant = Seconds(pole.number("tau_s", 1e-4, 1e5))});
    pole.finish();
  }
  object.ignore("fit");
  return thermal;
}

void read_sensor(JsonObject sensor, SimulatedGpuConfig& config) {
  config.sensor_period = Seconds(sensor.number("period_s", 1e-3, 60.0));
  config.sensor_delay = Seconds(sensor.number("delay_s", 0.0, 60.0));
  config.sensor_window = Seconds(sensor.number("window_s", 1e-4, 60.0));
  if (config.sensor_window > config.sensor_period) {
    throw FormatError(sensor.path(), sensor.key("window_s"),
                      fmt::format("{} s is longer than the period of {} s",
                                  config.sensor_window.value, config.sensor_period.value));
  }
  const double average = sensor.number("average_s", 1e-3, 600.0);
  config.average_samples =
      std::max(1, static_cast<int>(std::lround(average / config.sensor_period.value)));
  config.utilisation_period = Seconds(sensor.number("utilisation_period_s", 1e-3, 60.0));
  config.power_noise = Watts(sensor.number("power_noise_w", 0.0, 1e3));
  config.power_step = Watts(sensor.number("power_step_w", 0.0, 1e3));
  config.energy_step = Joules(sensor.number("energy_step_j", 0.0, 1e3));
  config.temperature_step = Celsius(sensor.number("temperature_step_c", 0.0, 100.0));
  sensor.ignore("bounds");
  sensor.finish();
}

}  // namespace

SimulatedGpuConfig read_plant(const std::string& path) {
  const nlohmann::json json = read_json_file(path);
  JsonObject root(json, path);
  root.integer("schema", 1, 1);
  root.choice("source", {"fitted"});
  SimulatedGpuConfig config;
  config.name = "simulated " + root.string("device");
  config.idle_active = Watts(root.number("idle_active_w", 0.0, kMaxWatts));
  config.power_limit = Watts(root.number("power_limit_w", 0.0, kMaxWatts));
  if (config.power_limit <= config.idle_active) {
    throw FormatError(path, root.key("power_limit_w"),
                      fmt::format("{} W must exceed idle_active_w = {} W", config.power_limit.value,
                                  config.idle_active.value));
  }
  config.thermal_limit = Celsius(root.number("thermal_limit_c", 0.0, 200.0));
  config.sm_clock = Megahertz(root.number("sm_clock_mhz", 1.0, 1e5));
  JsonObject thermal = root.object("thermal");
  config.thermal = read_thermal(thermal);
  JsonObject memory = thermal.object("memory");
  config.memory_thermal = read_thermal(memory);
  memory.finish();
  thermal.finish();
  read_sensor(root.object("sensor"), config);
  // Evidence and what only others read (the controller's model, the response to other work).
  for (const char* name :
       {"idle_cold_w", "controller_thermal", "compute_thermal", "checks", "provenance"}) {
    root.ignore(name);
  }
  root.finish();
  return config;
}

}  // namespace thermoe
