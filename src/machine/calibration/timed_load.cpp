// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/timed_load.h"

#include <algorithm>
#include <utility>

namespace thermoe {
namespace {

double mean_active(const RoutedPicks& picks) {
  const auto active = std::ranges::count_if(picks.counts, [](int n) { return n > 0; });
  return static_cast<double>(active) / picks.layers;
}

}  // namespace

void TimedLoad::stage(const StagedStep& step) {
  load_.stage(step);
  staged_ = true;
}

Seconds TimedLoad::run() {
  TimedStep step{.began = clock_.now()};
  step.device_time = load_.run();
  if (std::exchange(staged_, false)) step.active = mean_active(load_.picks());
  const std::lock_guard lock(mutex_);
  steps_.push_back(step);
  return step.device_time;
}

std::vector<TimedStep> TimedLoad::steps() const {
  const std::lock_guard lock(mutex_);
  return steps_;
}

}  // namespace thermoe
