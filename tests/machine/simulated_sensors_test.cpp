// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_sensors.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/errors.h"
#include "machine/simulated/simulated_source.h"

namespace thermoe {
namespace {

TrueState state(double watts) {
  return {.power = Watts(watts),
          .temperature = Celsius(50.4),
          .memory_temperature = Celsius(60.6),
          .busy = watts > 130.0,
          .memory_busy = watts > 130.0 ? 1.0 : 0.0,
          .sm_clock = Megahertz(1980.0)};
}

TEST(SimulatedSensors, ReportIdleBeforeTheFirstSample) {
  const SimulatedSensors sensors({}, state(130.0));
  const GpuReading r = sensors.at(Seconds(0.0));
  EXPECT_NEAR(r.power_instant.value->value, 130.0, 1e-9);
  EXPECT_NEAR(r.power_average.value->value, 130.0, 1e-9);
  EXPECT_EQ(r.energy.value, Joules(0.0));
  EXPECT_EQ(r.gpu_utilisation.value, 0.0);
}

TEST(SimulatedSensors, ReportWhatWasTrueADelayAgo) {
  SimulatedSensors sensors({.sensor_delay = Seconds(0.05)}, state(130.0));
  sensors.record(state(400.0), Seconds(0.5));
  // The sample of the period that ends at 0.1 s is published at 0.15 s.
  EXPECT_NEAR(sensors.at(Seconds(0.149)).power_instant.value->value, 130.0, 1e-9);
  EXPECT_NEAR(sensors.at(Seconds(0.15)).power_instant.value->value, 400.0, 1e-9);
}

TEST(SimulatedSensors, InstantPowerSeesOnlyTheLastQuarterOfAPeriodAndTheAverageSeesAll) {
  SimulatedSensors sensors({.sensor_delay = Seconds(0.0)}, state(130.0));
  for (int i = 0; i < 10; ++i) {
    sensors.record(state(600.0), Seconds(0.1 * i + 0.075));
    sensors.record(state(200.0), Seconds(0.1 * (i + 1)));
  }
  const GpuReading r = sensors.at(Seconds(1.0));
  EXPECT_NEAR(r.power_instant.value->value, 200.0, 1e-6);
  EXPECT_NEAR(r.power_average.value->value, 0.75 * 600.0 + 0.25 * 200.0, 1e-3);
  EXPECT_NEAR(r.energy.value->value, 500.0, 1e-3);
  EXPECT_NEAR(*r.gpu_utilisation.value, 1.0, 1e-9);
}

TEST(SimulatedSensors, TheAverageTakesASecondToForget) {
  SimulatedSensors sensors({.sensor_delay = Seconds(0.0)}, state(130.0));
  sensors.record(state(430.0), Seconds(0.5));
  EXPECT_NEAR(sensors.at(Seconds(0.5)).power_average.value->value, 280.0, 1e-3);
  sensors.record(state(430.0), Seconds(1.0));
  EXPECT_NEAR(sensors.at(Seconds(1.0)).power_average.value->value, 430.0, 1e-3);
}

TEST(SimulatedSensors, QuantiseToMilliwattsMillijoulesAndWholeDegrees) {
  SimulatedSensors sensors({.sensor_delay = Seconds(0.0), .power_noise = Watts(0.3), .seed = 5},
                           state(130.0));
  sensors.record(state(333.3333333), Seconds(0.1));
  const GpuReading r = sensors.at(Seconds(0.1));
  const double milliwatts = r.power_instant.value->value * 1000.0;
  EXPECT_NEAR(milliwatts, std::round(milliwatts), 1e-6);
  EXPECT_EQ(r.energy.value, Joules(33.333));
  EXPECT_EQ(r.temperature.value, Celsius(50.0));
  EXPECT_EQ(r.memory_temperature.value, Celsius(61.0));
}

TEST(SimulatedSensors, UtilisationChangesEveryTwoPeriodsOnly) {
  SimulatedSensors sensors({.sensor_delay = Seconds(0.0)}, state(130.0));
  sensors.record(state(400.0), Seconds(0.1));
  EXPECT_EQ(sensors.at(Seconds(0.1)).gpu_utilisation.value, 0.0);
  sensors.record(state(130.0), Seconds(0.2));
  EXPECT_NEAR(*sensors.at(Seconds(0.2)).gpu_utilisation.value, 0.5, 1e-9);
  EXPECT_NEAR(*sensors.at(Seconds(0.2)).memory_utilisation.value, 0.5, 1e-9);
}

TEST(SimulatedSensors, NoiseHasTheAskedDeviation) {
  SimulatedSensors sensors({.sensor_delay = Seconds(0.0), .power_noise = Watts(2.0), .seed = 11},
                           state(130.0));
  double sum = 0.0;
  double squares = 0.0;
  constexpr int kSamples = 4000;
  for (int i = 1; i <= kSamples; ++i) {
    sensors.record(state(400.0), Seconds(0.1 * i));
    const double e = sensors.at(Seconds(0.1 * i)).power_instant.value->value - 400.0;
    sum += e, squares += e * e;
  }
  EXPECT_NEAR(sum / kSamples, 0.0, 0.15);
  EXPECT_NEAR(std::sqrt(squares / kSamples), 2.0, 0.1);
}

TEST(SimulatedSensors, AWindowLongerThanThePeriodIsRefused) {
  EXPECT_THROW(SimulatedSensors({.sensor_window = Seconds(0.2)}, state(130.0)), PreconditionError);
}

std::vector<double> instant_power(std::uint64_t seed) {
  const SimulatedGpuConfig config{.power_noise = Watts(0.3), .seed = seed};
  SimulatedGpu gpu(config);
  SimulatedSource source(gpu);
  std::vector<double> values;
  for (int i = 1; i <= 100; ++i) {
    gpu.advance(
        Seconds(0.1),
        {.step_time = Seconds(0.01275), .step_energy = Joules(5.4), .period = Seconds(0.016)});
    values.push_back(source.read(gpu.now()).gpus.at(0).power_instant.value->value);
  }
  return values;
}

TEST(SimulatedSource, TheSameSeedGivesTheSameReadingsAndAnotherSeedOthers) {
  EXPECT_EQ(instant_power(3), instant_power(3));
  EXPECT_NE(instant_power(3), instant_power(4));
}

TEST(SimulatedSource, InstantPowerAliasesASquareWaveWithinItsLevels) {
  const std::vector<double> values = instant_power(3);
  const auto [low, high] = std::minmax_element(values.begin() + 2, values.end());
  EXPECT_GT(*high - *low, 30.0);  // a 25 ms window over a 16 ms period: the phase shows
  EXPECT_GT(*low, 130.0);
  EXPECT_LT(*high, 130.0 + 5.4 / 0.01275 + 2.0);
}

TEST(SimulatedSource, SaysSimulated) {
  SimulatedGpu gpu(SimulatedGpuConfig{});
  SimulatedSource source(gpu);
  EXPECT_TRUE(source.read(Seconds(0)).simulated);
  EXPECT_NE(source.read(Seconds(0)).gpus.at(0).name.find("simulated"), std::string::npos);
}

}  // namespace
}  // namespace thermoe
