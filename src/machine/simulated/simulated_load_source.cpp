// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_load_source.h"

#include <algorithm>
#include <cmath>

namespace thermoe {
namespace {

constexpr Seconds kTick{0.1};
constexpr Seconds kLongestPause{5.0};  // a stopped process must not have to catch up for minutes
constexpr Seconds kCycle{60.0};

constexpr GpuWork kIdle{};
constexpr GpuWork kFixedRate{
    .step_time = Seconds(12.3e-3), .step_energy = Joules(5.3), .period = Seconds(16e-3)};
constexpr GpuWork kFewerExperts{
    .step_time = Seconds(8.2e-3), .step_energy = Joules(3.5), .period = Seconds(16e-3)};
constexpr GpuWork kSaturated{.step_time = Seconds(12.3e-3), .step_energy = Joules(5.3)};

}  // namespace

SimulatedLoad simulated_load(Seconds t) {
  const double phase = std::fmod(t.value, kCycle.value);
  if (phase < 6.0) return {.work = kIdle};
  if (phase < 22.0) return {.work = kFixedRate};
  if (phase < 36.0) return {.work = kFewerExperts};
  if (phase < 46.0) return {.work = kSaturated};
  // Beside another tenant the board would exceed its limit: clocks fall.
  if (phase < 54.0) {
    return {.work = kSaturated,
            .disturbance = {.background_power = Watts(260.0), .bandwidth_share = 0.1}};
  }
  return {.work = kIdle};
}

SimulatedLoadSource::SimulatedLoadSource(const SimulatedGpuConfig& config, Seconds start)
    : gpu_(config), last_read_(start) {}

Snapshot SimulatedLoadSource::poll(Seconds now) {
  Seconds left = std::clamp(now - last_read_, Seconds(0), kLongestPause);
  last_read_ = now;
  while (left > Seconds(0)) {
    const Seconds tick = std::min(left, kTick);
    const SimulatedLoad load = simulated_load(gpu_.now());
    gpu_.advance(tick, load.work, load.disturbance);
    left -= tick;
  }
  return {.at = now, .simulated = true, .gpus = {gpu_.readings(gpu_.now())}};
}

}  // namespace thermoe
