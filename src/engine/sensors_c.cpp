// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <optional>
#include <string>

#include "core/clock.h"
#include "engine/c_boundary.h"
#include "engine/readings_json.h"
#include "engine/sensor_choice.h"
#include "engine/thermoe.h"
#include "measure/live_sensors.h"
#include "measure/measure_json.h"

struct thermoe_sensors {
  explicit thermoe_sensors(const thermoe::SensorChoice& choice) : live(choice, clock) {}

  thermoe::SteadyClock clock{};
  thermoe::WindowMeter meter{};
  std::optional<thermoe::Seconds> opened{};  // the window under way
  std::string text{};                        // what was given out last
  thermoe::LiveSensors live;                 // last: its threads end first
};

namespace {

using namespace thermoe;

constexpr Seconds kFirstAnswer{15.0};  // drivers without persistence wake their GPUs first
constexpr Seconds kEdgePatience{1.0};

thermoe_sensors& given(thermoe_sensors* sensors) {
  need(sensors != nullptr, "the sensors are NULL; use those that thermoe_sensors_open gave");
  if (const auto wrong = sensors->live.wrong_gpu()) throw UsageError(*wrong);
  return *sensors;
}

std::string window_json(thermoe_sensors& s, Seconds ended, const char* unit, const double* units) {
  MeasureRequest request;
  RunMeasurement run{.window = s.meter.close(ended), .duration = ended - *s.opened};
  if (units != nullptr) {
    need(std::isfinite(*units) && *units >= 0.0, "units is a number, 0 or more");
    request.units = {.name = unit == nullptr ? "unit" : unit, .count = *units};
    run.units = UnitCount{.count = *units, .basis = "the caller"};
  }
  MeasureOutcome outcome{.source = s.live.label(), .problems = s.live.problems()};
  outcome.runs.push_back(std::move(run));
  return measure_json(request, outcome);
}

}  // namespace

extern "C" {

thermoe_status thermoe_sensors_open(const char* config, thermoe_sensors** sensors) {
  return guarded([&] {
    need(config != nullptr && sensors != nullptr,
         "thermoe_sensors_open needs a configuration and a place for the sensors");
    auto made = std::make_unique<thermoe_sensors>(read_sensor_choice(config));
    made->live.read_now(made->meter, kFirstAnswer);
    given(made.get());
    *sensors = made.release();
  });
}

void thermoe_sensors_close(thermoe_sensors* sensors) { delete sensors; }

thermoe_status thermoe_sensors_read(thermoe_sensors* sensors, const char** json) {
  return guarded([&] {
    thermoe_sensors& s = given(sensors);
    need(json != nullptr, "thermoe_sensors_read needs a place for its text");
    s.text = readings_json(s.live.latest(), s.live.label(), s.live.problems(), s.clock.now());
    *json = s.text.c_str();
  });
}

thermoe_status thermoe_window_begin(thermoe_sensors* sensors) {
  return guarded([&] {
    thermoe_sensors& s = given(sensors);
    s.live.read_now(s.meter, kEdgePatience);
    s.opened = s.clock.now();
    s.meter.open(*s.opened);
  });
}

thermoe_status thermoe_window_end(thermoe_sensors* sensors, const char* unit, const double* units,
                                  const char** json) {
  return guarded([&] {
    thermoe_sensors& s = given(sensors);
    need(json != nullptr, "thermoe_window_end needs a place for its text");
    need(s.opened.has_value(), "no window is under way; thermoe_window_begin begins one");
    const Seconds ended = s.clock.now();
    s.live.read_now(s.meter, kEdgePatience);
    s.text = window_json(s, ended, unit, units);
    s.opened.reset();
    *json = s.text.c_str();
  });
}

}  // extern "C"
