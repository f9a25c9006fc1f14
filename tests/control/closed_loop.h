// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <functional>
#include <memory>

#include "control/controller_config.h"
#include "synthetic_router.h"

namespace thermoe::testing {

/// A GPU made of literals: what the controller's model does not know.
struct Plant {
  Watts idle{130.0};
  double energy_scale = 1.0;
  double demand_noise = 0.03;  ///< standard deviation of a tick's energy
  double aliasing = 0.06;      ///< of the sensor's short window, uniform
  bool paced = false;          ///< instead: that window falls anywhere on the wave of paced steps
  bool instant = true, average = false;  ///< which readings of power there are
  int sensor_delay_ticks = 1;
  Watts sensor_step{0.0};  ///< resolution of the power sensor; 0 = none
  int sensor_period_ticks = 1;
  bool steady = false;  ///< the same logits each tick
  Watts tenant_power{60.0};
  double tenant_bandwidth = 0.15;
  Seconds tenant_from{1e9}, tenant_to{1e9};
  Celsius ambient{43.0}, ambient_step{0.0};
  Seconds ambient_from{1e9};
  double fast_resistance = 0.032, fast_time = 0.4, slow_resistance = 0.015, slow_time = 12.0;
};

/// One 100 ms tick of the loop, in truth.
struct TruthTick {
  double time = 0.0, power = 0.0, temperature = 0.0, step_time = 0.0, active = 0.0, kept_mass = 1.0;
  ControllerState state{};
};

/// What a test may do to a snapshot before the controller sees it.
using Sabotage = std::function<void(double time, Snapshot& snapshot, LogitSample& sample)>;

/// What the plant's sensor answers to the poll of tick `i`.
inline void poll(Reading<Watts>& sensor, Watts seen, const Plant& plant, int i, Seconds now) {
  const double step = plant.sensor_step.value;
  if (step > 0.0) seen = Watts(step * std::round(seen.value / step));
  sensor.read_at = now;
  if (i % plant.sensor_period_ticks != 0 || sensor.value == seen) return;
  sensor.value = seen;
  sensor.changed_at = now;
}

/// Seconds that steps of `step` seconds, one each `period`, are at work until `time`.
inline double seconds_at_work(double time, double step, double period) {
  const double steps = std::floor(time / period);
  return steps * step + std::min(time - steps * period, step);
}

/// What a window of 25 ms shows of a machine that is at work for a part of each step period only,
/// over the true mean: 0.7 to 1.3 of it where half of the time is work.
inline double paced_share(double phase, double step, double period) {
  constexpr double kWindow = 0.025;
  const double from = phase * period;
  const double work =
      seconds_at_work(from + kWindow, step, period) - seconds_at_work(from, step, period);
  return work / kWindow * period / step;
}

/// Runs a controller against the plant for `seconds`, 16 tokens a step, one sampled step a tick.
inline std::vector<TruthTick> run_loop(Controller& controller, const ControllerConfig& config,
                                       const Plant& plant, double seconds, std::uint32_t seed,
                                       const Sabotage& sabotage = {}) {
  constexpr double kTick = 0.1;
  LogitSource source(config.layers, 16, config.router.experts, seed);
  LogitSample drawn;
  std::mt19937 random(seed + 1);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform(-1.0, 1.0);
  const ReferenceRouter router(config.router);
  RoutingPlan plan(config.layers, config.router.experts, config.router.k);
  std::deque<double> powers, instants;
  double fast = 0.0, slow = 200.0 * plant.slow_resistance, ambient = plant.ambient.value;
  Reading<Watts> sensor, average;
  std::vector<TruthTick> log;
  for (int i = 0; i < static_cast<int>(std::lround(seconds / kTick)); ++i) {
    const double now = (i + 1) * kTick;
    const bool tenant = now > plant.tenant_from.value && now <= plant.tenant_to.value;
    if (i == 0 || !plant.steady) drawn = source.next();
    LogitSample sample = drawn;
    const RoutingStats stats = router.route(sample, plan);
    const Cost cost = config.costs.step(stats);
    const double step_time = cost.latency.value / (tenant ? 1.0 - plant.tenant_bandwidth : 1.0);
    const double period = std::max(config.step_period.value, step_time);
    const double noise = 1.0 + plant.demand_noise * normal(random);
    const double power = plant.idle.value +
                         plant.energy_scale * noise * cost.energy.value / period +
                         (tenant ? plant.tenant_power.value : 0.0);
    fast += (power * plant.fast_resistance - fast) * (1.0 - std::exp(-kTick / plant.fast_time));
    slow += (power * plant.slow_resistance - slow) * (1.0 - std::exp(-kTick / plant.slow_time));
    const double room =
        plant.ambient.value + (now > plant.ambient_from.value ? plant.ambient_step.value : 0);
    ambient += (room - ambient) * (1.0 - std::exp(-kTick / plant.slow_time));
    const double temperature = ambient + fast + slow;

    powers.push_back(power);
    const double above_idle = plant.energy_scale * noise * cost.energy.value / period;
    const double share = plant.paced ? paced_share(1.0 + uniform(random), step_time, period) : 1.0;
    instants.push_back(power + above_idle * (share - 1.0));
    Snapshot snapshot{.at = Seconds(now), .simulated = true};
    snapshot.gpus.resize(1);
    const int shown = i - plant.sensor_delay_ticks;
    if (shown >= 0) {
      const double noisy = plant.paced ? 1.0 : 1.0 + plant.aliasing * uniform(random);
      poll(sensor, Watts(instants[static_cast<std::size_t>(shown)] * noisy), plant, i,
           Seconds(now));
      double second = 0.0;  // of which what lies before the start was idle
      for (int j = shown - 9; j <= shown; ++j) {
        second += 0.1 * (j >= 0 ? powers[static_cast<std::size_t>(j)] : plant.idle.value);
      }
      poll(average, Watts(second), plant, i, Seconds(now));
    }
    if (plant.instant) snapshot.gpus[0].power_instant = sensor;
    if (plant.average) snapshot.gpus[0].power_average = average;
    snapshot.gpus[0].temperature = {Celsius(std::round(temperature)), Seconds(now), Seconds(now)};
    if (sabotage) sabotage(now, snapshot, sample);

    const StepMetrics metrics{.at = Seconds(now),
                              .tick = Seconds(kTick),
                              .step_time = Seconds(step_time),
                              .step_period = Seconds(period),
                              .steps = kTick / period};
    plan = controller
               .decide({.now = Seconds(now),
                        .snapshot = snapshot,
                        .stats = stats,
                        .sample = sample,
                        .metrics = metrics,
                        .costs = config.costs})
               .plan;
    log.push_back({now, power, temperature, step_time, stats.mean_active(), stats.kept_mass,
                   controller.state()});
  }
  return log;
}

/// Mean of a member over (from, to].
template <class Member>
double mean_of(const std::vector<TruthTick>& log, Member member, double from, double to) {
  double sum = 0.0;
  int n = 0;
  for (const TruthTick& t : log) {
    if (t.time > from + 1e-6 && t.time < to + 1e-6) sum += t.*member, ++n;
  }
  return n > 0 ? sum / n : 0.0;
}

/// Which share of the ticks over (from, to] has steps longer than `cap`.
inline double share_above(const std::vector<TruthTick>& log, double cap, double from, double to) {
  int above = 0, n = 0;
  for (const TruthTick& t : log) {
    if (t.time > from + 1e-6 && t.time < to + 1e-6) above += t.step_time > cap, ++n;
  }
  return n > 0 ? static_cast<double>(above) / n : 0.0;
}

/// Seconds in which the mean of the last second of true power exceeds 1.05 x cap.
inline double violation_seconds(const std::vector<TruthTick>& log, double cap) {
  double seconds = 0.0;
  for (const TruthTick& t : log) {
    const double mean = mean_of(log, &TruthTick::power, std::max(0.0, t.time - 1.0), t.time);
    if (mean > 1.05 * cap) seconds += 0.1;
  }
  return seconds;
}

/// Time after `event` from which the 1 s mean stays within 5 % of the cap for 5 s.
inline double settling_seconds(const std::vector<TruthTick>& log, double cap, double event) {
  double inside_since = -1.0;
  for (const TruthTick& t : log) {
    if (t.time <= event) continue;
    const double mean = mean_of(log, &TruthTick::power, t.time - 1.0, t.time);
    const bool inside = std::abs(mean - cap) <= 0.05 * cap;
    if (!inside) inside_since = -1.0;
    if (inside && inside_since < 0.0) inside_since = t.time;
    if (inside && t.time - inside_since >= 5.0) return inside_since - event;
  }
  return 1e9;
}

}  // namespace thermoe::testing
