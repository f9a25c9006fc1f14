// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_gpu.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Seconds kInnerStep{1e-3};
constexpr Seconds kShortestStep{1e-6};  // bounds the events in an inner step
constexpr Seconds kTolerance{1e-12};
// Thermal governor: share of the clock given up a second and kelvin above the limit. Slow against
// the die's fastest pole, fast against its slowest, so that it settles without ringing.
constexpr double kGovernorGain = 0.1;
constexpr double kLowestClock = 0.15;
// NVML clocks event reasons.
constexpr std::uint64_t kSoftwarePowerCap = 0x4;
constexpr std::uint64_t kSoftwareThermalSlowdown = 0x20;

void validate(Seconds dt, const GpuWork& work, const GpuDisturbance& disturbance) {
  THERMOE_EXPECT(std::isfinite(dt.value) && dt > Seconds(0), "tick of {} s must be > 0", dt.value);
  THERMOE_EXPECT(work.step_time == Seconds(0) ||
                     (std::isfinite(work.step_time.value) && work.step_time >= kShortestStep),
                 "step time {} s must be 0 (no work) or at least 1 us", work.step_time.value);
  THERMOE_EXPECT(std::isfinite(work.step_energy.value) && work.step_energy >= Joules(0),
                 "step energy {} J must be finite and >= 0", work.step_energy.value);
  THERMOE_EXPECT(std::isfinite(work.period.value) && work.period >= Seconds(0),
                 "step period {} s must be finite and >= 0", work.period.value);
  THERMOE_EXPECT(
      std::isfinite(disturbance.background_power.value) && disturbance.background_power >= Watts(0),
      "background power {} W must be finite and >= 0", disturbance.background_power.value);
  THERMOE_EXPECT(disturbance.bandwidth_share >= 0.0 && disturbance.bandwidth_share < 1.0,
                 "bandwidth share {} must lie in [0, 1)", disturbance.bandwidth_share);
  THERMOE_EXPECT(std::isfinite(disturbance.ambient_offset.value), "ambient offset must be finite");
}

}  // namespace

struct SimulatedGpu::Rates {
  Seconds step_time{};  // as felt; 0 = no work
  bool busy = false;
  Watts power{};
  double clock = 1.0;
  bool capped = false;

  bool working() const { return step_time > Seconds(0); }
};

struct SimulatedGpu::Totals {
  double steps = 0.0;
  Joules energy{};
  Seconds stepping{};
  Seconds busy{};
  Seconds memory_busy{};
  double clock_seconds = 0.0;
  bool throttled = false;
};

SimulatedGpu::SimulatedGpu(const SimulatedGpuConfig& config)
    : config_(config),
      since_start_(std::numeric_limits<double>::infinity()),
      thermal_(config.thermal, config.idle_active, config.start),
      memory_thermal_(config.memory_thermal, config.idle_active),
      sensors_(config, {.power = config.idle_active,
                        .temperature = thermal_.temperature(),
                        .memory_temperature = config.memory_thermal.steady(config.idle_active),
                        .sm_clock = config.sm_clock}) {
  THERMOE_EXPECT(config.idle_active >= Watts(0) && config.power_limit > config.idle_active,
                 "power limit {} W must exceed the active idle power {} W",
                 config.power_limit.value, config.idle_active.value);
}

SimulatedGpu::Rates SimulatedGpu::rates(const GpuWork& work,
                                        const GpuDisturbance& disturbance) const {
  const bool working = work.step_time > Seconds(0);
  // Less bandwidth: the same bytes and joules take longer.
  const Seconds unthrottled = work.step_time / (1.0 - disturbance.bandwidth_share);
  const Watts step_power = working ? work.step_energy / unthrottled : Watts(0);
  const Watts above_idle = config_.power_limit - config_.idle_active;
  const auto clock_for = [&](Watts dynamic) {
    return dynamic * thermal_clock_ > above_idle ? above_idle / dynamic : thermal_clock_;
  };

  Rates rates;
  rates.busy = working && progress_ < 1.0;
  const Watts busy_dynamic = disturbance.background_power + step_power;
  const Watts dynamic = rates.busy ? busy_dynamic : disturbance.background_power;
  rates.clock = clock_for(dynamic);
  rates.capped = rates.clock < thermal_clock_;
  rates.power = config_.idle_active + rates.clock * dynamic;
  if (working) rates.step_time = unthrottled / clock_for(busy_dynamic);
  return rates;
}

void SimulatedGpu::begin_step_if_due(const GpuWork& work) {
  if (work.step_time == Seconds(0)) {
    progress_ = 1.0;  // work withdrawn: what was under way is dropped
    return;
  }
  if (progress_ < 1.0 || since_start_ < work.period - kTolerance) return;
  progress_ = 0.0;
  since_start_ = Seconds(0);
}

Seconds SimulatedGpu::until_event(const GpuWork& work, const Rates& rates) const {
  if (rates.busy) return (1.0 - progress_) * rates.step_time;
  if (rates.working()) return work.period - since_start_;
  return Seconds(std::numeric_limits<double>::infinity());
}

void SimulatedGpu::pass(Seconds until, const Rates& rates, const GpuDisturbance& disturbance,
                        Totals& totals) {
  const Seconds dt = until - now_;
  const bool tenant = disturbance.background_power > Watts(0) || disturbance.bandwidth_share > 0.0;
  const bool hot = thermal_clock_ < 1.0;
  thermal_.advance(rates.power, dt);
  memory_thermal_.advance(rates.power, dt);
  const TrueState state{
      .power = rates.power,
      .temperature = thermal_.temperature() + disturbance.ambient_offset,
      .memory_temperature = memory_thermal_.temperature() + disturbance.ambient_offset,
      .busy = rates.busy || tenant,
      .memory_busy = rates.busy ? 1.0 : disturbance.bandwidth_share,
      .sm_clock = rates.clock * config_.sm_clock,
      .throttle_reasons =
          (rates.capped ? kSoftwarePowerCap : 0) | (hot ? kSoftwareThermalSlowdown : 0)};
  sensors_.record(state, until);

  totals.energy += rates.power * dt;
  if (rates.busy) totals.stepping += dt;
  if (state.busy) totals.busy += dt;
  totals.memory_busy += state.memory_busy * dt;
  totals.clock_seconds += rates.clock * dt.value;
  totals.throttled = totals.throttled || rates.capped || hot;
  since_start_ += dt;
  now_ = until;
}

void SimulatedGpu::govern_temperature(Seconds dt, Celsius ambient_offset) {
  const Celsius excess = thermal_.temperature() + ambient_offset - config_.thermal_limit;
  thermal_clock_ =
      std::clamp(thermal_clock_ - kGovernorGain * excess.value * dt.value, kLowestClock, 1.0);
}

TickReport SimulatedGpu::advance(Seconds dt, const GpuWork& work,
                                 const GpuDisturbance& disturbance) {
  return run(dt, false, work, disturbance);
}

TickReport SimulatedGpu::advance_step(Seconds most, const GpuWork& work,
                                      const GpuDisturbance& disturbance) {
  THERMOE_EXPECT(work.step_time > Seconds(0), "a step of {} s must take time",
                 work.step_time.value);
  return run(most, true, work, disturbance);
}

TickReport SimulatedGpu::run(Seconds most, bool one_step, const GpuWork& work,
                             const GpuDisturbance& disturbance) {
  validate(most, work, disturbance);
  const std::lock_guard lock(mutex_);
  const Seconds begin = now_;
  const Seconds end = begin + most;
  const double inner_steps = std::ceil(most / kInnerStep - 1e-9);
  Totals totals;
  bool done = false;
  for (double i = 1.0; i <= inner_steps && !done; ++i) {
    const Seconds before = now_;
    const Seconds stop = std::min(begin + i * kInnerStep, end);
    while (now_ < stop && !done) {
      begin_step_if_due(work);
      const Rates now = rates(work, disturbance);
      const Seconds event = until_event(work, now);
      const bool reached = now_ + event <= stop + kTolerance;
      if (now.busy) {
        const double progress = reached ? 1.0 : progress_ + (stop - now_) / now.step_time;
        totals.steps += progress - progress_;
        progress_ = progress;
        done = one_step && reached;
      }
      pass(reached ? std::clamp(now_ + event, now_, stop) : stop, now, disturbance, totals);
    }
    govern_temperature(now_ - before, disturbance.ambient_offset);
  }
  const Seconds dt = done ? now_ - begin : most;  // what was asked for, to the last bit

  const Seconds step_time =
      totals.steps > 0.0 ? totals.stepping / totals.steps : rates(work, disturbance).step_time;
  return {
      .step_time = step_time,
      .step_period = step_time > Seconds(0) ? std::max(step_time, work.period) : Seconds(0),
      .steps = totals.steps,
      .length = dt,
      .truth = {.energy = totals.energy,
                .mean_power = totals.energy / dt,
                .temperature = thermal_.temperature() + disturbance.ambient_offset,
                .memory_temperature = memory_thermal_.temperature() + disturbance.ambient_offset,
                .utilisation = std::min(totals.busy / dt, 1.0),
                .memory_utilisation = std::min(totals.memory_busy / dt, 1.0),
                .sm_clock = (totals.clock_seconds / dt.value) * config_.sm_clock,
                .throttled = totals.throttled}};
}

GpuReading SimulatedGpu::readings(Seconds now) const {
  const std::lock_guard lock(mutex_);
  return sensors_.at(now);
}

bool SimulatedGpu::step_under_way() const {
  const std::lock_guard lock(mutex_);
  return progress_ < 1.0;
}

Seconds SimulatedGpu::now() const {
  const std::lock_guard lock(mutex_);
  return now_;
}

}  // namespace thermoe
