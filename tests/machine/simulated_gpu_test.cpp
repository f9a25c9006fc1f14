// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_gpu.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

#include "core/errors.h"
#include "machine/simulated/plant_config.h"

namespace thermoe {
namespace {

constexpr Seconds kTick{0.1};

SimulatedGpuConfig config() {
  return {
      .thermal = {.ambient = Celsius(40.0),
                  .poles = {{KelvinPerWatt(0.015), Seconds(0.4)},
                            {KelvinPerWatt(0.02), Seconds(11.0)}}},
      .memory_thermal = {.ambient = Celsius(40.0), .poles = {{KelvinPerWatt(0.06), Seconds(1.0)}}}};
}

/// The measured decode load: D = 82 at 62.5 steps a second draws about 469 W.
GpuWork decode() {
  return {.step_time = Seconds(0.01275), .step_energy = Joules(5.4), .period = Seconds(0.016)};
}

struct Sum {
  double steps = 0.0;
  Joules energy{};
  TickReport last{};
};

Sum run(SimulatedGpu& gpu, int ticks, const GpuWork& work, const GpuDisturbance& disturbance = {}) {
  Sum sum;
  for (int i = 0; i < ticks; ++i) {
    sum.last = gpu.advance(kTick, work, disturbance);
    sum.steps += sum.last.steps;
    sum.energy += sum.last.truth.energy.value();
  }
  return sum;
}

TEST(SimulatedGpu, IdleDrawsActiveIdleAndStaysSettled) {
  SimulatedGpu gpu(config());
  const TickReport tick = gpu.advance(kTick, {});
  EXPECT_NEAR(tick.truth.mean_power.value().value, 130.0, 1e-9);
  EXPECT_NEAR(tick.truth.temperature.value().value, 40.0 + 0.035 * 130.0, 1e-9);
  EXPECT_EQ(tick.steps, 0.0);
  EXPECT_EQ(tick.truth.utilisation.value(), 0.0);
}

TEST(SimulatedGpu, AFixedRateDoesOneStepAPeriodAndCarriesThePhaseFromTickToTick) {
  SimulatedGpu gpu(config());
  const Sum sum = run(gpu, 160, decode());  // 16 s: exactly 1000 periods, 6.25 a tick
  EXPECT_NEAR(sum.steps, 1000.0, 1e-6);
  EXPECT_NEAR(sum.energy.value, 16.0 * 130.0 + 1000.0 * 5.4, 1e-5);
  EXPECT_NEAR(sum.last.step_time.value, 0.01275, 1e-12);
  EXPECT_NEAR(sum.last.step_period.value, 0.016, 1e-12);
}

TEST(SimulatedGpu, EnergyIsIdlePlusStepsWhateverTheTicks) {
  SimulatedGpu gpu(config());
  double steps = 0.0;
  double energy = 0.0;
  double time = 0.0;
  for (const double dt : {0.1, 0.0137, 0.25, 0.0004, 0.1}) {
    const TickReport tick = gpu.advance(Seconds(dt), decode());
    EXPECT_NEAR(tick.truth.mean_power.value().value * dt, tick.truth.energy.value().value, 1e-9);
    steps += tick.steps, energy += tick.truth.energy.value().value, time += dt;
  }
  EXPECT_NEAR(energy, 130.0 * time + 5.4 * steps, 1e-9);
  EXPECT_NEAR(gpu.now().value, time, 1e-12);
}

TEST(SimulatedGpu, ASaturatedLoadRunsStepsBackToBack) {
  SimulatedGpu gpu(config());
  GpuWork work = decode();
  work.period = Seconds(0.0);
  const Sum sum = run(gpu, 51, work);  // 5.1 s: 400 steps
  EXPECT_NEAR(sum.steps, 400.0, 1e-6);
  EXPECT_NEAR(sum.last.truth.mean_power.value().value, 130.0 + 5.4 / 0.01275, 1e-6);
  EXPECT_NEAR(sum.last.truth.utilisation.value(), 1.0, 1e-9);
  EXPECT_NEAR(sum.last.step_period.value, 0.01275, 1e-12);
}

TEST(SimulatedGpu, StepsLongerThanTheirPeriodRunBackToBack) {
  SimulatedGpu gpu(config());
  GpuWork work = decode();
  work.period = Seconds(0.010);
  const Sum sum = run(gpu, 51, work);
  EXPECT_NEAR(sum.steps, 400.0, 1e-6);
  EXPECT_NEAR(sum.last.step_period.value, 0.01275, 1e-12);
}

TEST(SimulatedGpu, TheTenantAddsItsWatts) {
  SimulatedGpu alone(config());
  SimulatedGpu shared(config());
  const Sum a = run(alone, 80, decode());
  const Sum b = run(shared, 80, decode(), {.background_power = Watts(60.0)});
  EXPECT_NEAR((b.energy - a.energy).value, 60.0 * 8.0, 1e-6);
  EXPECT_NEAR(a.steps, b.steps, 1e-9);
  EXPECT_GT(b.last.truth.temperature.value(), a.last.truth.temperature.value());
}

TEST(SimulatedGpu, LostBandwidthStretchesStepsAndLeavesTheirEnergyAlone) {
  SimulatedGpu gpu(config());
  const Sum sum = run(gpu, 80, decode(), {.bandwidth_share = 0.15});
  EXPECT_NEAR(sum.last.step_time.value, 0.01275 / 0.85, 1e-12);
  EXPECT_NEAR(sum.steps, 500.0, 1e-6);  // 15 ms still fit in the 16 ms period
  EXPECT_NEAR(sum.energy.value, 8.0 * 130.0 + 500.0 * 5.4, 1e-5);
}

TEST(SimulatedGpu, ThePowerLimitStretchesStepsAndIsNeverExceeded) {
  SimulatedGpu gpu(config());
  const GpuWork heavy{
      .step_time = Seconds(0.010), .step_energy = Joules(9.5), .period = Seconds(0)};
  for (int i = 0; i < 30; ++i) {
    const TickReport tick = gpu.advance(kTick, heavy);  // 130 + 950 W are asked for
    EXPECT_LE(tick.truth.mean_power.value().value, 700.0 + 1e-9);
    EXPECT_NEAR(tick.truth.mean_power.value().value, 700.0, 1e-9);
    EXPECT_NEAR(tick.step_time.value, 9.5 / 570.0, 1e-9);
    EXPECT_TRUE(tick.truth.throttled.value());
    EXPECT_NEAR(tick.truth.sm_clock.value().value, 1980.0 * 570.0 / 950.0, 1e-6);
  }
  EXPECT_EQ(gpu.readings(Seconds(3.0)).throttle_reasons.value, 0x4U);
}

TEST(SimulatedGpu, ThePowerLimitHoldsWithATenantThatAloneExceedsIt) {
  SimulatedGpu gpu(config());
  const TickReport tick = gpu.advance(kTick, decode(), {.background_power = Watts(900.0)});
  EXPECT_NEAR(tick.truth.mean_power.value().value, 700.0, 1e-9);
  EXPECT_GT(tick.step_time, decode().step_time);
}

TEST(SimulatedGpu, AHotGpuLowersItsClocksUntilTheThermalLimitHolds) {
  SimulatedGpu gpu(config());
  GpuWork work = decode();
  work.period = Seconds(0.0);
  const Sum sum = run(gpu, 1200, work, {.ambient_offset = Celsius(32.0)});  // would settle at 91.4
  EXPECT_NEAR(sum.last.truth.temperature.value().value, 87.0, 0.2);
  EXPECT_TRUE(sum.last.truth.throttled.value());
  EXPECT_LT(sum.last.truth.sm_clock.value().value, 1980.0);
  EXPECT_GT(sum.last.step_time, work.step_time);
  EXPECT_EQ(gpu.readings(Seconds(120.0)).throttle_reasons.value, 0x20U);
}

TEST(SimulatedGpu, AmbientMovesBothTemperaturesAtOnce) {
  SimulatedGpu gpu(config());
  const TickReport cool = gpu.advance(kTick, {});
  const TickReport warm = gpu.advance(kTick, {}, {.ambient_offset = Celsius(5.0)});
  EXPECT_NEAR((warm.truth.temperature.value() - cool.truth.temperature.value()).value, 5.0, 1e-9);
  EXPECT_NEAR((warm.truth.memory_temperature.value() - cool.truth.memory_temperature.value()).value,
              5.0, 1e-9);
}

TEST(SimulatedGpu, WorkThatChangesMidStepKeepsTheProgressMade) {
  SimulatedGpu gpu(config());
  const GpuWork slow{.step_time = Seconds(0.2), .step_energy = Joules(20.0), .period = Seconds(0)};
  const GpuWork fast{.step_time = Seconds(0.1), .step_energy = Joules(10.0), .period = Seconds(10)};
  EXPECT_NEAR(gpu.advance(kTick, slow).steps, 0.5, 1e-9);
  const TickReport rest = gpu.advance(kTick, fast);  // half a step left: 50 ms, then idle
  EXPECT_NEAR(rest.steps, 0.5, 1e-9);
  EXPECT_NEAR(rest.truth.energy.value().value, 13.0 + 5.0, 1e-9);
  EXPECT_NEAR(rest.truth.utilisation.value(), 0.5, 1e-9);
}

TEST(SimulatedGpu, StepsOfDifferentKindsFollowOneAnotherAndSpanTicksWhole) {
  SimulatedGpu gpu(config());
  const GpuWork brief{.step_time = Seconds(0.004), .step_energy = Joules(1.0)};
  const GpuWork ample{.step_time = Seconds(0.02), .step_energy = Joules(6.0)};
  Joules energy{};
  const auto stretch = [&](Seconds most, const GpuWork& work) {
    const TickReport report = gpu.advance_step(most, work);
    energy += report.truth.energy.value();
    return report;
  };
  EXPECT_NEAR(stretch(kTick, brief).length.value, 0.004, 1e-12);
  EXPECT_FALSE(gpu.step_under_way());
  EXPECT_NEAR(stretch(Seconds(0.015), ample).length.value, 0.015, 1e-12);
  EXPECT_TRUE(gpu.step_under_way());
  EXPECT_NEAR(stretch(kTick, ample).length.value, 0.005, 1e-9);
  EXPECT_FALSE(gpu.step_under_way());
  EXPECT_NEAR(energy.value, 0.024 * 130.0 + 7.0, 1e-9);
  EXPECT_THROW(gpu.advance_step(kTick, {}), PreconditionError);
}

TEST(SimulatedGpu, StepsOneByOneHeatAndThrottleAsTheSameStepsInATickDo) {
  SimulatedGpu together(config()), apart(config());
  GpuWork hot = decode();
  hot.period = Seconds(0);
  const GpuDisturbance tenant{.background_power = Watts(300.0)};  // above the power limit
  const TickReport tick = together.advance(Seconds(1.0), hot, tenant);
  while (apart.now() < Seconds(1.0 - 1e-9)) {
    apart.advance_step(Seconds(1.0) - apart.now(), hot, tenant);
  }
  const TickReport a = together.advance(kTick, {}), b = apart.advance(kTick, {});
  EXPECT_TRUE(tick.truth.throttled.value());
  EXPECT_NEAR(a.truth.temperature->value, b.truth.temperature->value, 1e-6);
  EXPECT_NEAR(a.truth.memory_temperature->value, b.truth.memory_temperature->value, 1e-6);
}

TEST(SimulatedGpu, UtilisationIsTheShareOfTimeThatAKernelRuns) {
  SimulatedGpu gpu(config());
  double busy = 0.0;
  for (int i = 0; i < 80; ++i)
    busy += gpu.advance(kTick, decode()).truth.utilisation.value() / 80.0;
  EXPECT_NEAR(busy, 12.75 / 16.0, 1e-6);
  const TickReport tenant = gpu.advance(kTick, {}, {.background_power = Watts(60.0)});
  EXPECT_NEAR(tenant.truth.utilisation.value(), 1.0, 1e-9);
}

TEST(SimulatedGpu, WhatMakesNoSenseIsRefused) {
  SimulatedGpu gpu(config());
  EXPECT_THROW(gpu.advance(Seconds(0.0), {}), PreconditionError);
  EXPECT_THROW(gpu.advance(kTick, decode(), {.bandwidth_share = 1.0}), PreconditionError);
  EXPECT_THROW(gpu.advance(kTick, decode(), {.background_power = Watts(-1.0)}), PreconditionError);
  EXPECT_THROW(gpu.advance(kTick, {.step_time = Seconds(1e-9)}), PreconditionError);
  SimulatedGpuConfig bad = config();
  bad.power_limit = Watts(100.0);
  EXPECT_THROW(SimulatedGpu{bad}, PreconditionError);
}

TEST(SimulatedGpu, TheFittedPlantWarmsUnderTheMeasuredLoadAsItDidInAnotherSession) {
  SimulatedGpuConfig plant = read_plant(THERMOE_SOURCE_DIR "/data/h100/plant.json");
  SimulatedGpu gpu(plant);
  const Celsius before = gpu.advance(kTick, {}).truth.temperature.value();
  const Sum sum = run(gpu, 150, decode());  // measured: 31 to 41 degrees in 15 s
  EXPECT_NEAR((sum.last.truth.temperature.value() - before).value, 10.0, 1.5);
}

}  // namespace
}  // namespace thermoe
