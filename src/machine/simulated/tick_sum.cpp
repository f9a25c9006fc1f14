// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/tick_sum.h"

#include "core/errors.h"

namespace thermoe {

void TickSum::add(const TickReport& stretch) {
  const Seconds dt = stretch.length;
  if (dt <= Seconds(0)) return;
  const TrueHardware& truth = stretch.truth;
  last_ = stretch;
  length_ += dt;
  steps_ += stretch.steps;
  energy_ += *truth.energy;
  busy_ += *truth.utilisation * dt;
  memory_busy_ += *truth.memory_utilisation * dt;
  clock_seconds_ += truth.sm_clock->value * dt.value;
  throttled_ = throttled_ || *truth.throttled;
}

TickReport TickSum::report() const {
  THERMOE_EXPECT(length_ > Seconds(0), "a tick of {} s has no report", length_.value);
  TickReport report = last_;  // temperatures as they are at the end
  report.step_time = report.step_period = Seconds(0);
  report.steps = steps_;
  report.length = length_;
  report.truth.energy = energy_;
  report.truth.mean_power = energy_ / length_;
  report.truth.utilisation = busy_ / length_;
  report.truth.memory_utilisation = memory_busy_ / length_;
  report.truth.sm_clock = Megahertz(clock_seconds_ / length_.value);
  report.truth.throttled = throttled_;
  return report;
}

}  // namespace thermoe
