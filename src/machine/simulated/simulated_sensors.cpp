// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_sensors.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Seconds kTolerance{1e-9};  // times are sums of ticks: equal up to rounding
constexpr Seconds kKept{2.0};

template <class T>
T nearest(T value, T step) {
  return step.value > 0.0 ? T(std::round(value / step) * step.value) : value;
}

void validate(const SimulatedGpuConfig& c) {
  THERMOE_EXPECT(c.sensor_period > Seconds(0) && c.utilisation_period > Seconds(0),
                 "sensor periods {} s and {} s must be > 0", c.sensor_period.value,
                 c.utilisation_period.value);
  THERMOE_EXPECT(c.sensor_window > Seconds(0) && c.sensor_window <= c.sensor_period,
                 "sensor window {} s must lie in (0, {}] s", c.sensor_window.value,
                 c.sensor_period.value);
  THERMOE_EXPECT(c.sensor_delay >= Seconds(0), "sensor delay {} s must be >= 0",
                 c.sensor_delay.value);
  THERMOE_EXPECT(c.average_samples >= 1, "average_samples={} must be >= 1", c.average_samples);
  THERMOE_EXPECT(c.power_noise >= Watts(0) && c.power_step >= Watts(0) &&
                     c.energy_step >= Joules(0) && c.temperature_step >= Celsius(0),
                 "sensor noise and steps must be >= 0");
}

}  // namespace

SimulatedSensors::SimulatedSensors(const SimulatedGpuConfig& config, const TrueState& idle)
    : config_(config), random_(config.seed) {
  validate(config_);
  const Seconds always(-std::numeric_limits<double>::infinity());
  recent_.assign(static_cast<std::size_t>(config_.average_samples), {.power = idle.power});
  utilisation_.push_back({.published = always});
  // The sample at time 0: a window full of idle.
  period_energy_ = idle.power * config_.sensor_period;
  window_energy_ = idle.power * config_.sensor_window;
  sample(idle);
  samples_.front().published = always;
  samples_taken_ = 0.0;
}

Seconds SimulatedSensors::next_sample() const {
  return (samples_taken_ + 1.0) * config_.sensor_period;
}

Seconds SimulatedSensors::next_utilisation() const {
  return (utilisation_samples_taken_ + 1.0) * config_.utilisation_period;
}

void SimulatedSensors::record(const TrueState& state, Seconds until) {
  while (now_ < until) {
    const Seconds window_start = next_sample() - config_.sensor_window;
    Seconds stop = std::min({until, next_sample(), next_utilisation()});
    if (window_start > now_ + kTolerance) stop = std::min(stop, window_start);
    accumulate(state, stop);
    if (now_ >= next_utilisation() - kTolerance) sample_utilisation();
    if (now_ >= next_sample() - kTolerance) sample(state);
  }
  forget();
}

void SimulatedSensors::accumulate(const TrueState& state, Seconds until) {
  const Seconds dt = std::max(until - now_, Seconds(0));
  const Joules used = state.power * dt;
  const Seconds window_start = next_sample() - config_.sensor_window;
  energy_ += used;
  period_energy_ += used;
  if (now_ >= window_start - kTolerance) window_energy_ += used;
  if (state.busy) busy_ += dt;
  memory_busy_ += state.memory_busy * dt;
  now_ = std::max(now_, until);
}

void SimulatedSensors::sample(const TrueState& state) {
  const Period period{.power = period_energy_ / config_.sensor_period,
                      .noise = noise_(random_) * config_.power_noise};
  recent_.pop_front();
  recent_.push_back(period);
  Watts average{};
  for (const Period& p : recent_) average += p.power + p.noise;
  average = average / static_cast<double>(recent_.size());

  Sample sample{.published = next_sample() + config_.sensor_delay};
  GpuReading& r = sample.reading;
  r.name = config_.name;
  const Watts instant = window_energy_ / config_.sensor_window + period.noise;
  r.power_instant.value = nearest(std::max(instant, Watts(0)), config_.power_step);
  r.power_average.value = nearest(std::max(average, Watts(0)), config_.power_step);
  r.power_limit.value = config_.power_limit;
  r.energy.value = nearest(energy_, config_.energy_step);
  r.temperature.value = nearest(state.temperature, config_.temperature_step);
  r.memory_temperature.value = nearest(state.memory_temperature, config_.temperature_step);
  r.sm_clock.value = state.sm_clock;
  r.throttle_reasons.value = state.throttle_reasons;
  samples_.push_back(std::move(sample));
  samples_taken_ += 1.0;
  period_energy_ = Joules(0);
  window_energy_ = Joules(0);
}

void SimulatedSensors::sample_utilisation() {
  utilisation_.push_back({.published = next_utilisation() + config_.sensor_delay,
                          .gpu = std::min(busy_ / config_.utilisation_period, 1.0),
                          .memory = std::min(memory_busy_ / config_.utilisation_period, 1.0)});
  utilisation_samples_taken_ += 1.0;
  busy_ = Seconds(0);
  memory_busy_ = Seconds(0);
}

void SimulatedSensors::forget() {
  const auto drop_old = [horizon = now_ - kKept](auto& samples) {
    while (samples.size() > 1 && samples[1].published <= horizon) samples.pop_front();
  };
  drop_old(samples_);
  drop_old(utilisation_);
}

GpuReading SimulatedSensors::at(Seconds now) const {
  const auto newest = [now](const auto& samples) -> const auto& {
    auto i = samples.size() - 1;
    while (i > 0 && samples[i].published > now + kTolerance) --i;
    return samples[i];
  };
  GpuReading reading = newest(samples_).reading;
  reading.gpu_utilisation.value = newest(utilisation_).gpu;
  reading.memory_utilisation.value = newest(utilisation_).memory;
  return reading;
}

}  // namespace thermoe
