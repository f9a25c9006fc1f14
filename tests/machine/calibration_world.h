// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "core/sensor_lag.h"
#include "machine/calibration/calibration_record.h"

namespace thermoe::testing {

/// A GPU that does as it is told, and sensors that sample it each 0.1 s, on a time of its own: what
/// a calibration of it would record.
struct CalibrationWorld {
  double idle = 128.0;  ///< with clocks up
  double cold = 117.0;  ///< at rest
  // Of a step: joules and seconds, constant and for each expert of all layers.
  double e0 = 0.4, e1 = 0.05;
  double l0 = 0.4e-3, l1 = 0.1e-3;
  double second_variant = 0.5;  ///< of the joules and the time
  SensorLag lag{Seconds(0.1), Seconds(0.025)};

  double factor(const CalibrationWindow& w) const { return w.variant == 0 ? 1.0 : second_variant; }
  double energy(const CalibrationWindow& w) const { return factor(w) * (e0 + e1 * w.active); }
  double latency(const CalibrationWindow& w) const { return factor(w) * (l0 + l1 * w.active); }
  double spacing(const CalibrationWindow& w) const { return std::max(w.period.value, latency(w)); }
  double power(const CalibrationWindow& w) const {
    return w.idle() ? cold : idle + energy(w) / spacing(w);
  }

  CalibrationRecord record(const std::vector<CalibrationWindow>& windows) const {
    CalibrationRecord record;
    double t = kStart;
    for (const CalibrationWindow& window : windows) {
      const double end = t + window.length.value;
      record.stretches.push_back({window, Seconds(t), Seconds(end)});
      if (!window.idle()) add_steps(record, window, t, end);
      t = end + 0.01;
    }
    record.taken = Seconds(t);
    add_snapshots(record, t);
    return record;
  }

 private:
  static constexpr double kStart = 2.0;

  void add_steps(CalibrationRecord& record, const CalibrationWindow& window, double from,
                 double to) const {
    for (int i = 0; from + i * spacing(window) < to; ++i) {
      TimedStep step{.began = Seconds(from + i * spacing(window)),
                     .device_time = Seconds(latency(window))};
      if (i % 16 == 0) step.active = window.active;
      record.steps.push_back(step);
    }
  }

  /// Joules since the beginning.
  double energy_at(const CalibrationRecord& record, double t) const {
    double joules = 0.0;
    double covered = 0.0;
    for (const CalibrationStretch& s : record.stretches) {
      joules += cold * (std::min(t, s.from.value) - std::min(t, covered));
      // Until the next begins, it goes on as it is.
      covered = s.to.value + 0.01;
      joules += power(s.window) * (std::min(t, covered) - std::min(t, s.from.value));
    }
    return joules + cold * std::max(0.0, t - covered);
  }

  void add_snapshots(CalibrationRecord& record, double end) const {
    std::mt19937_64 random(1);
    GpuReading gpu{.name = "GPU"};
    const auto set = [](auto& reading, auto value, Seconds now) {
      if (!reading.value || *reading.value != value) reading.changed_at = now;
      reading.value = value, reading.read_at = now;
    };
    for (int i = 1; 0.05 * i < end; ++i) {
      const double late = 1e-5 * static_cast<double>(random() % 1000);
      const Seconds now(0.05 * i + late);
      const double sampled = 0.1 * std::floor(now.value / 0.1 + 1e-9);
      const double to = sampled - lag.delay.value;
      const double window = lag.window.value;
      set(gpu.energy, Joules(1e6 + energy_at(record, to)), now);
      set(gpu.power_instant,
          Watts((energy_at(record, to) - energy_at(record, to - window)) / window), now);
      set(gpu.sm_clock, Megahertz(1980.0), now);
      set(gpu.memory_clock, Megahertz(2619.0), now);
      set(gpu.temperature, Celsius(40.0), now);
      set(gpu.power_limit, Watts(650.0), now);
      record.snapshots.push_back({.at = now, .gpus = {gpu}});
    }
  }
};

}  // namespace thermoe::testing
