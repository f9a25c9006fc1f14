// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <mutex>
#include <string_view>
#include <vector>

#include "core/errors.h"
#include "fake_step_load.h"
#include "machine/calibration/calibration_plan.h"
#include "telemetry/source.h"

namespace thermoe {

inline double seconds_at(double active) { return 0.4e-3 + 0.2e-3 * active; }
inline double joules_at(double active) { return 0.1 + 0.1 * active; }

inline double active_of(const StagedStep& step) {
  std::vector<bool> reached(static_cast<std::size_t>(step.sample.experts));
  const auto layer = step.sample.layer(0);
  for (std::size_t i = 0; i < layer.size(); ++i) {
    if (!std::isnan(layer[i])) reached[i % reached.size()] = true;
  }
  return static_cast<double>(std::ranges::count(reached, true));
}

/// Windows as short as a test's patience.
inline CalibrationTiming quick_calibration() {
  return {.budget = Seconds(10.0),
          .warm_up = Seconds(0.05),
          .window = Seconds(0.15),
          .settle = Seconds(0.04),
          .idle = Seconds(0.2),
          .edge = Seconds(0.02),
          .edges = 2,
          .change = Seconds(0.01),
          .least_counted = Seconds(0.1)};
}

/// A board of 100 W on which every step takes its time and its joules, in real time.
class Board {
 public:
  Board() {
    load.on_stage = [this](const StagedStep& step) {
      const std::lock_guard lock(mutex_);
      settle();
      each_ = joules_at(active_of(step));
      load.step_seconds = seconds_at(active_of(step));
    };
  }
  double joules(Seconds now) {
    const std::lock_guard lock(mutex_);
    settle();
    return 100.0 * now.value + counted_;
  }

  FakeStepLoad load{};

 private:
  void settle() {
    const int steps = load.steps;
    counted_ += each_ * (steps - steps_);
    steps_ = steps;
  }

  std::mutex mutex_;
  double each_ = 0.0;
  double counted_ = 0.0;
  int steps_ = 0;
};

class BoardSource final : public Source {
 public:
  explicit BoardSource(Board& board) : board_(board) {}
  std::string_view name() const override { return "board"; }
  int gpus = 1;
  bool counts = true;
  bool lost = false;

 private:
  Snapshot poll(Seconds now) override {
    if (lost) throw TelemetryError("the GPU is lost; restart the machine");
    GpuReading gpu{.name = "Board"};
    if (counts) gpu.energy.value = Joules(board_.joules(now));
    gpu.sm_clock.value = Megahertz(1500.0);
    return {.gpus = std::vector<GpuReading>(static_cast<std::size_t>(gpus), gpu)};
  }
  Board& board_;
};

}  // namespace thermoe
