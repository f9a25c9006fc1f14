// SPDX-License-Identifier: Apache-2.0
#include "control/power_sensor.h"

#include <algorithm>
#include <cmath>

#include "core/controlled_gpu.h"

namespace thermoe {
namespace {

constexpr Watts kCoarsest{5.0};         // resolution of a sensor that never changed
constexpr std::size_t kIntervals = 8;   // the shortest of so many is the update period
constexpr std::size_t kChanges = 21;    // so many changes within
constexpr double kLively = 30.0;        // so many periods: it changes with nearly every update
constexpr double kPatience = 6.0;       // periods
constexpr double kRepeat = 1.5;         // periods after which the same value was read anew
constexpr double kSteps = 3.0;          // of the model against the sensor's: sampling noise
constexpr double kHarmless = 0.03;      // share of the power that breaks no cap by 5 %
constexpr double kUnknownStart = 0.25;  // what a model may be wrong by before it was ever corrected

}  // namespace

PowerReading power_reading(const Snapshot& snapshot) {
  const GpuReading* gpu = controlled_gpu(snapshot);
  if (gpu == nullptr) return {};
  if (gpu->power_instant.value || !gpu->power_average.value) return {&gpu->power_instant, false};
  return {&gpu->power_average, true};
}

void PowerSensor::observe(const PowerReading& power, Seconds now, std::optional<Watts> modelled,
                          bool rests) {
  if (power.reading == nullptr || !power.reading->value) return;
  if (power.averaged != averaged_) *this = PowerSensor(stale_after_);  // another sensor
  const Watts value = *power.reading->value;
  const bool first = !value_;
  if (first || power.reading->changed_at > changed_at_) {
    if (!first) {
      changes_.push_back(power.reading->changed_at);
      if (changes_.size() > kChanges) changes_.pop_front();
      const Watts step(std::abs((value - *value_).value));
      if (step.value > 0.0) resolution_ = std::min(step, resolution_.value_or(step));
    }
    averaged_ = power.averaged;
    changed_at_ = power.reading->changed_at;
    value_ = value;
    modelled_ = modelled.has_value();
    reference_ = modelled.value_or(value);
    moved_since_.reset();
    frozen_ = false;
    return;
  }
  if (rests) {
    rest(modelled);
    return;
  }
  if (modelled) {
    const bool moved = std::abs((*modelled - reference_).value) > allowance(*modelled).value;
    if (!moved) moved_since_.reset();
    if (moved && !moved_since_) moved_since_ = now;
  }
  if (lively()) frozen_ = frozen_ || now - changed_at_ > limit();
  if (moved_since_) frozen_ = frozen_ || now - *moved_since_ > limit();
}

// A sensor that has stopped meanwhile is found out by the work that comes next.
void PowerSensor::rest(std::optional<Watts> modelled) {
  changes_.clear();
  reference_ = modelled.value_or(reference_);
  moved_since_.reset();
}

Watts PowerSensor::allowance(Watts modelled) const {
  const Watts power = std::max(modelled, reference_);
  if (!modelled_) return kUnknownStart * power;
  return kSteps * resolution_.value_or(kCoarsest) + kHarmless * power;
}

Seconds PowerSensor::period() const {
  if (changes_.size() < 2) return kUsualPeriod;
  Seconds shortest = changes_.back() - changes_.front();
  for (std::size_t i = changes_.size() - 1; i > 0 && i + kIntervals >= changes_.size(); --i) {
    shortest = std::min(shortest, changes_[i] - changes_[i - 1]);
  }
  return shortest;
}

bool PowerSensor::lively() const {
  return changes_.size() == kChanges && changes_.back() - changes_.front() <= kLively * period();
}

Seconds PowerSensor::limit() const { return std::max(stale_after_, kPatience * period()); }

bool PowerSensor::is_news(const Reading<Watts>& reading, const std::optional<Seconds>& last) const {
  if (!last || reading.changed_at > *last) return true;
  return reading.read_at - *last >= kRepeat * period() && !lively() && !moved_since_ && !frozen_;
}

}  // namespace thermoe
