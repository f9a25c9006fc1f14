// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/calibration_record.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>

#include "core/errors.h"
#include "core/quantile.h"

namespace thermoe {
namespace {

struct Span {
  Seconds from{}, to{};
  bool holds(Seconds t) const { return from <= t && t <= to; }
};
Span counted(const CalibrationStretch& stretch) {
  return {stretch.from + stretch.window.settle, stretch.to};
}

std::string name_of(const CalibrationWindow& window) {
  return window.idle() ? std::string("a rest") : fmt::format("a window of D={}", window.active);
}

/// Slope of the energy counter over the polls in which it changed: each is late by as much as a
/// poll's period, so all of them say more than the first and the last.
Watts mean_power(const CalibrationStretch& stretch, const std::vector<Snapshot>& snapshots) {
  const Span span = counted(stretch);
  const GpuReading* first = nullptr;
  double n = 0, st = 0, se = 0, stt = 0, ste = 0;
  for (const Snapshot& snapshot : snapshots) {
    if (!span.holds(snapshot.at) || snapshot.gpus.empty()) continue;
    const GpuReading& gpu = snapshot.gpus.front();
    if (!gpu.energy.value || gpu.energy.changed_at != snapshot.at) continue;
    if (first == nullptr) first = &gpu;
    if (gpu.energy_gaps != first->energy_gaps) {
      throw TelemetryError(
          fmt::format("calibration: the energy counter of {} began anew in {}; "
                      "calibrate again",
                      gpu.name, name_of(stretch.window)));
    }
    const double t = (snapshot.at - span.from).value;
    const double e = (*gpu.energy.value - *first->energy.value).value;
    n += 1, st += t, se += e, stt += t * t, ste += t * e;
  }
  constexpr double kFewest = 3;
  if (n < kFewest) {
    throw TelemetryError(fmt::format(
        "calibration: the energy counter changed {} times during {} of {:.1f} s; at least {} are "
        "needed: see that the GPU and its driver answer (thermoe monitor), and calibrate again",
        n, name_of(stretch.window), (span.to - span.from).value, kFewest));
  }
  return Watts((n * ste - st * se) / (n * stt - st * st));
}

void add_steps(CalibrationLevel& level, const CalibrationStretch& stretch,
               const std::vector<TimedStep>& steps) {
  const Span span = counted(stretch);
  std::vector<double> times;
  Span starts{};
  double active = 0.0;
  int routed = 0;
  for (const TimedStep& step : steps) {
    // A step of the window before may still run when this one begins.
    if (step.active && stretch.from <= step.began && step.began <= stretch.to) {
      active += *step.active, ++routed;
    }
    if (!span.holds(step.began)) continue;
    if (times.empty()) starts.from = step.began;
    starts.to = step.began;
    times.push_back(step.device_time.value);
  }
  constexpr std::size_t kFewest = 3;
  if (times.size() < kFewest || routed == 0) {
    throw TelemetryError(fmt::format(
        "calibration: {} steps ended during {} of {:.1f} s, at least {} are needed: the load is "
        "too slow for windows this short",
        times.size(), name_of(stretch.window), (span.to - span.from).value, kFewest));
  }
  level.active = active / routed;
  level.steps = static_cast<int>(times.size());
  level.spacing = (starts.to - starts.from) / static_cast<double>(times.size() - 1);
  std::ranges::sort(times);
  level.step_time = Seconds(quantile(times, 0.5));
  level.step_spread = relative_spread(times);
}

template <class T>
std::optional<T> median(std::vector<double>& values) {
  std::ranges::sort(values);
  return values.empty() ? std::nullopt : std::optional(T(quantile(values, 0.5)));
}

}  // namespace

std::vector<CalibrationLevel> calibration_levels(const CalibrationRecord& record) {
  std::vector<CalibrationLevel> levels;
  for (const CalibrationStretch& stretch : record.stretches) {
    if (!stretch.window.counted()) continue;
    CalibrationLevel level{.window = stretch.window};
    level.power = mean_power(stretch, record.snapshots);
    if (!stretch.window.idle()) add_steps(level, stretch, record.steps);
    levels.push_back(level);
  }
  return levels;
}

CalibrationState calibration_state(const CalibrationRecord& record) {
  std::vector<double> sm, memory, temperature;
  CalibrationState state;
  for (const Snapshot& snapshot : record.snapshots) {
    if (snapshot.gpus.empty()) continue;
    const GpuReading& gpu = snapshot.gpus.front();
    if (gpu.power_limit.value) state.power_limit = gpu.power_limit.value;
    const bool worked = std::ranges::any_of(record.stretches, [&](const CalibrationStretch& s) {
      return s.window.counted() && !s.window.idle() && counted(s).holds(snapshot.at);
    });
    if (!worked) continue;
    if (gpu.sm_clock.value) sm.push_back(gpu.sm_clock.value->value);
    if (gpu.memory_clock.value) memory.push_back(gpu.memory_clock.value->value);
    if (gpu.temperature.value) temperature.push_back(gpu.temperature.value->value);
  }
  state.sm_clock = median<Megahertz>(sm);
  state.memory_clock = median<Megahertz>(memory);
  state.temperature = median<Celsius>(temperature);
  return state;
}

}  // namespace thermoe
