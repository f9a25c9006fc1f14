// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/simulated_load_source.h"

#include <gtest/gtest.h>

#include "machine/simulated/plant_config.h"

namespace thermoe {
namespace {

constexpr const char* kPlant = THERMOE_SOURCE_DIR "/data/h100/plant.json";
constexpr std::uint64_t kSoftwarePowerCap = 0x4;

TEST(SimulatedLoadSource, GoesThroughIdleLoadAndThePowerCapInAMinute) {
  SimulatedLoadSource source(read_plant(kPlant), Seconds(0));
  double now = 0.0;
  const auto at = [&](double t) {
    Snapshot snapshot;
    for (; now < t; now += 0.5) snapshot = source.read(Seconds(now));
    EXPECT_TRUE(snapshot.simulated);
    return snapshot.gpus.at(0);
  };
  const GpuReading idle = at(5);
  EXPECT_LT(*idle.power_average.value, Watts(150));
  const GpuReading fewer = at(35);
  const GpuReading full = at(45);
  EXPECT_GT(*fewer.power_average.value, *idle.power_average.value);
  EXPECT_GT(*full.power_average.value, *fewer.power_average.value);
  EXPECT_EQ(full.throttle_reasons.value, 0U);
  const GpuReading capped = at(53);
  EXPECT_EQ(*capped.throttle_reasons.value & kSoftwarePowerCap, kSoftwarePowerCap);
  EXPECT_LE(*capped.power_average.value, *capped.power_limit.value + Watts(2));
  EXPECT_EQ(capped.power_limit.value, Watts(700));
}

TEST(SimulatedLoadSource, APauseIsNotCaughtUp) {
  SimulatedLoadSource source(read_plant(kPlant), Seconds(0));
  source.read(Seconds(0));
  // Five seconds of idle at most, not a day of load.
  EXPECT_LT(*source.read(Seconds(100'000)).gpus.at(0).energy.value, Joules(1000));
}

}  // namespace
}  // namespace thermoe
