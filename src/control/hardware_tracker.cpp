// SPDX-License-Identifier: Apache-2.0
#include "control/hardware_tracker.h"

#include <algorithm>
#include <cmath>

#include "core/controlled_gpu.h"

namespace thermoe {
namespace {

/// Targets are aimed at from just below, so that sampling noise does not spend the tolerance above.
constexpr double kPowerAim = 0.995;
constexpr double kStepTimeAim = 0.995;
constexpr double kQuantile95 = 1.645;     // of a normal distribution, in standard deviations
constexpr double kLargestSpread = 0.1;    // beyond it no spread: a tenant came or went
constexpr Celsius kTemperatureAim{-0.3};  // a sensor of 1 degree steps may read half a degree late
constexpr double kTrimLimit = 0.1;        // of the power above idle, and of the step time
constexpr Seconds kAverageWindow{1.0};

/// From one step's start to the next. Of an engine whose requests arrive, as often as steps truly
/// came: it idles where there is none, and those that read prompts count as the others, so that
/// what they draw more is in the residual, in the mean.
Seconds period_of(const StepMetrics& metrics) {
  if (!metrics.serving) return metrics.step_period;
  return metrics.steps > 0.0 ? metrics.tick / metrics.steps : Seconds();
}

/// Steps that read prompts are longer, under no price and no period: where there were no others the
/// step time is theirs, and tells nothing of those that decode.
bool tells_step_time(const StepMetrics& metrics) {
  return !metrics.serving || metrics.steps > metrics.serving->mixed_steps;
}

}  // namespace

HardwareTracker::HardwareTracker(const ControllerConfig& config)
    : lag_(config.lag),
      step_period_(config.step_period),
      trim_limit_(kTrimLimit),
      active_idle_(config.costs.active_idle),
      power_sensor_(config.guard.stale_after),
      observer_(config.thermal) {}

Watts HardwareTracker::modelled_power(const Cost& cost, Seconds measured_period) const {
  // Perturbed step times change the power of the same loads at saturation: use the measured period.
  const Seconds period = measured_period.value > 0.0 ? measured_period : step_period_;
  return mean_power(cost, period, active_idle_);
}

std::optional<Watts> HardwareTracker::modelled_through_lag(Seconds read_at, Seconds window,
                                                           Seconds margin) const {
  const Seconds to = read_at - lag_.delay;
  const Seconds from = to - window;
  constexpr double kSlack = 1e-9;
  const double earliest = (from - margin).value + kSlack;
  if (past_.empty() || past_.front().from.value > earliest) return std::nullopt;
  double joules = 0.0;
  double seconds = 0.0;
  for (const Past& tick : past_) {
    const double shared = std::min(to.value, tick.to.value) - std::max(from.value, tick.from.value);
    if (shared <= 0.0) continue;
    joules += shared * tick.power.value;
    seconds += shared;
  }
  if (seconds <= kSlack) return std::nullopt;
  return Watts(joules / seconds);
}

void HardwareTracker::learn_power(const Observation& o) {
  const PowerReading power = power_reading(o.snapshot);
  if (power.reading == nullptr || !power.reading->value) return;
  if (power_sensor_.is_news(*power.reading, last_news_)) {
    // A sensor that is read more often than it is updated shows what was when it changed.
    const bool changed = !last_news_ || power.reading->changed_at > *last_news_;
    last_news_ = changed ? power.reading->changed_at : power.reading->read_at;
    learn_reading(power, *last_news_);
  }
  if (power.averaged) return;
  // Beside the instant reading the average has nothing to say while it stands still.
  const PowerReading average{&controlled_gpu(o.snapshot)->power_average, true};
  const Seconds changed_at = average.reading->changed_at;
  if (!average.reading->value || (last_average_ && changed_at <= *last_average_)) return;
  last_average_ = changed_at;
  learn_reading(average, changed_at);
}

void HardwareTracker::learn_reading(const PowerReading& power, Seconds shown_at) {
  // One sensor period of margin: a real delay longer than believed must not show the idle machine
  // of before the first tick as a residual.
  const Seconds margin = std::max(lag_.delay, PowerSensor::kUsualPeriod);
  const Seconds window = window_of(power);
  const auto modelled = modelled_through_lag(shown_at, window, margin);
  if (!modelled) return;
  const Watts residual = *power.reading->value - *modelled;
  const Seconds to = shown_at - lag_.delay;
  if (power.averaged) {
    residual_.learn_average(residual, {to - window, to});
  } else {
    residual_.learn_instant(residual, {to - window, to});
  }
}

void HardwareTracker::learn_promise(const Observation& o, const Cost& ran) {
  if (!promised_ || (o.metrics.serving && o.metrics.serving->batch <= 0.0)) return;
  const Seconds period = period_of(o.metrics);
  trim_.update((modelled_power(ran, period) - modelled_power(*promised_, period)).value,
               o.metrics.tick);
  if (promised_->latency.value > 0.0) {
    const double ratio = ran.latency / promised_->latency;
    ratio_trim_.update(std::clamp(ratio, 1.0 - trim_limit_, 1.0 + trim_limit_), o.metrics.tick);
  }
}

Seconds HardwareTracker::window_of(const PowerReading& power) const {
  return power.averaged ? kAverageWindow : lag_.window;
}

void HardwareTracker::observe(const Observation& o, const Cost& ran) {
  active_idle_ = o.costs.active_idle;
  const Watts now = modelled_power(ran, period_of(o.metrics));
  past_.push_back({o.metrics.at - o.metrics.tick, o.metrics.at, now});
  while (past_.size() > 1 && past_.front().to < o.metrics.at - Seconds(3.0)) past_.pop_front();
  const PowerReading power = power_reading(o.snapshot);
  const bool rests = o.metrics.serving && o.metrics.steps <= 0.0;
  power_sensor_.observe(power, o.now, modelled_through_lag(o.now, window_of(power), Seconds()),
                        rests);
}

void HardwareTracker::learn(const Observation& o, const Cost& ran, bool trusted) {
  learn_step_time(o, ran);
  learn_promise(o, ran);
  residual_.advance(o.now);
  if (trusted) learn_power(o);
  std::optional<Celsius> reading;
  const GpuReading* gpu = controlled_gpu(o.snapshot);
  if (trusted && gpu != nullptr) reading = gpu->temperature.value;
  observer_.update(past_.back().power + residual_.value(), reading, o.metrics.tick);
}

void HardwareTracker::learn_step_time(const Observation& o, const Cost& ran) {
  if (ran.latency.value <= 0.0 || o.metrics.step_time.value <= 0.0) return;
  if (!tells_step_time(o.metrics)) return;
  if (promised_ && promised_->latency.value > 0.0) {
    const double off = o.metrics.step_time / (step_time_ratio() * promised_->latency) - 1.0;
    const double usual = std::clamp(off, -kLargestSpread, kLargestSpread);
    step_time_variance_.update(usual * usual, o.metrics.tick);
  }
  ratio_.update(o.metrics.step_time / ran.latency, o.metrics.tick);
  last_step_time_residual_ = o.metrics.step_time - ran.latency;
}

double HardwareTracker::step_time_margin() const {
  return 1.0 + kQuantile95 * std::sqrt(step_time_variance_.value());
}

double HardwareTracker::trim_watts() const {
  const double limit =
      promised_ ? trim_limit_ * (modelled_power(*promised_, Seconds()) - active_idle_).value : 0.0;
  return std::clamp(trim_.value(), -limit, limit);
}

Forecast HardwareTracker::forecast(const Cost& cost, Seconds period) const {
  Cost felt = cost;
  felt.latency = step_time_ratio() * cost.latency;
  const Seconds mean_period = stretch_ * std::max(period, felt.latency);
  Forecast f{.power = mean_power(felt, mean_period, active_idle_) + power_residual(),
             .step_time = felt.latency};
  f.temperature = temperature_at(f.power);
  return f;
}

std::optional<Celsius> HardwareTracker::temperature_at(Watts power) const {
  if (!observer_.started()) return std::nullopt;
  return observer_.after(power, kTemperatureHorizon);
}

bool HardwareTracker::meets(const Targets& targets, const Cost& cost) const {
  const Forecast f = forecast(cost);
  return meets(targets, f.power, f.step_time);
}

bool HardwareTracker::meets(const Targets& targets, Watts power, Seconds step_time) const {
  if (targets.power && power > kPowerAim * *targets.power) return false;
  if (targets.step_time && step_time_margin() * step_time > kStepTimeAim * *targets.step_time)
    return false;
  const auto temperature = temperature_at(power);
  return !(targets.temperature && temperature &&
           *temperature > *targets.temperature + kTemperatureAim);
}

}  // namespace thermoe
