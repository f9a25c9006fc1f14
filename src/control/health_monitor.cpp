// SPDX-License-Identifier: Apache-2.0
#include "control/health_monitor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/controlled_gpu.h"

namespace thermoe {
namespace {

/// Absent since the last good reading (or since the first look); `value` present resets.
template <class T>
std::string absence(const char* sensor, const Reading<T>* reading, std::optional<Seconds>& last,
                    Seconds now, Seconds limit) {
  const bool present = reading != nullptr && reading->value;
  if (present || !last) last = now;
  if (now - *last <= limit) return {};
  return fmt::format("the {} reading is {} for {:.1f} s (limit {:.1f} s)", sensor,
                     reading != nullptr && reading->rejected ? "NaN or impossible" : "absent",
                     (now - *last).value, limit.value);
}

template <class T>
std::string age_fault(const char* sensor, const Reading<T>& reading, Seconds now, Seconds limit) {
  if (!reading.value) return {};
  if (!std::isfinite(reading.value->value)) return fmt::format("the {} reading is NaN", sensor);
  if (reading.age(now) > limit) {
    return fmt::format("the {} reading is {:.1f} s old (limit {:.1f} s)", sensor,
                       reading.age(now).value, limit.value);
  }
  return {};
}

/// No count and no time of an engine is NaN, infinite or negative.
std::string serving_fault(const ServingTick& tick) {
  const auto sound = [](double x) { return std::isfinite(x) && x >= 0.0; };
  const bool times =
      std::ranges::all_of(tick.to_first_token, [&](Seconds t) { return sound(t.value); }) &&
      std::ranges::all_of(tick.between_tokens, [&](const TokenGap& gap) {
        return sound(gap.gap.value) && sound(gap.tokens);
      });
  const bool counts = sound(tick.batch) && sound(tick.rows) && sound(tick.tokens) &&
                      sound(tick.mixed_steps) && tick.running >= 0 && tick.waiting >= 0 &&
                      tick.arrived >= 0 && tick.finished >= 0;
  if (times && counts) return {};
  return fmt::format("the engine reported {} that is NaN or below 0",
                     counts ? "a time to or between tokens" : "a count");
}

}  // namespace

HealthMonitor::HealthMonitor(const GuardRails& guard, const Targets& targets)
    : guard_(guard), targets_(targets) {}

std::string HealthMonitor::telemetry_fault(const Observation& o, const PowerSensor& sensor) {
  if (!needs_power()) return {};  // step times come from the data plane: no sensor is needed
  const Reading<Watts>* power = power_reading(o.snapshot).reading;
  const bool has_power = power != nullptr && power->value;
  std::string fault = absence("power", power, last_power_, o.now, guard_.stale_after);
  if (fault.empty() && has_power) {
    fault = age_fault("power", *power, o.now, guard_.stale_after);
    // A frozen sensor answers every poll with the same number.
    if (fault.empty() && sensor.frozen()) {
      fault = fmt::format("the power reading is frozen: unchanged for {:.1f} s (limit {:.1f} s)",
                          power->unchanged_for(o.now).value, sensor.limit().value);
    }
  }
  if (!fault.empty() || !targets_.temperature) return fault;
  // A temperature of whole degrees may rightly stand still for minutes: only its age is judged.
  const GpuReading* gpu = controlled_gpu(o.snapshot);
  const Reading<Celsius>* temperature = gpu == nullptr ? nullptr : &gpu->temperature;
  fault = absence("temperature", temperature, last_temperature_, o.now, guard_.stale_after);
  if (!fault.empty() || temperature == nullptr) return fault;
  return age_fault("temperature", *temperature, o.now, guard_.stale_after);
}

std::string HealthMonitor::number_fault(const Observation& o) {
  for (const double x :
       {o.metrics.step_time.value, o.metrics.step_period.value, o.metrics.tick.value,
        o.metrics.at.value, o.stats.kept_mass, o.stats.known_quality_loss()}) {
    if (!std::isfinite(x)) return "the data plane reported NaN (step time, period or kept mass)";
  }
  return o.metrics.serving ? serving_fault(*o.metrics.serving) : std::string();
}

std::string HealthMonitor::quality_fault(double quality_loss, Seconds tick) {
  const auto count = [this](const Loss& loss, double sign) {
    seen_ += sign * loss.tick;
    spent_ += sign * loss.nats * loss.tick.value;
  };
  losses_.push_back({tick, quality_loss});
  count(losses_.back(), 1.0);
  while (losses_.size() > 1 && seen_ - losses_.front().tick >= guard_.quality_window) {
    count(losses_.front(), -1.0);
    losses_.pop_front();
  }
  // Over the whole window, also before it has passed: one bad tick at the start is no spent budget.
  const double mean = spent_ / std::max(guard_.quality_window, seen_).value;
  if (mean <= guard_.max_quality_loss) return {};
  return fmt::format(
      "quality loss of {:.2f} nats (mean of {:.0f} s) exceeds max_quality_loss of {:.2f}", mean,
      guard_.quality_window.value, guard_.max_quality_loss);
}

const Fault& HealthMonitor::judge(Seconds now, const Fault& fault) {
  if (fault) {
    healthy_since_.reset();
    if (!acting_ || fault.remedy > acting_.remedy) acting_ = fault;  // one event, one reason
    return acting_;
  }
  if (!acting_) return acting_;
  if (!healthy_since_) healthy_since_ = now;
  if (now - *healthy_since_ >= guard_.recover_after) {
    acting_ = {};
    healthy_since_.reset();
  }
  return acting_;
}

}  // namespace thermoe
