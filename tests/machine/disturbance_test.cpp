// SPDX-License-Identifier: Apache-2.0
#include "machine/disturbance.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

const std::vector<Disturbance> kAll = {
    {.kind = Disturbance::Kind::kSensorFreeze, .from = Seconds(1), .to = Seconds(2)},
    {.kind = Disturbance::Kind::kBackground,
     .from = Seconds(80),
     .to = Seconds(140),
     .power = Watts(60),
     .bandwidth_share = 0.15},
    {.kind = Disturbance::Kind::kBackground,
     .from = Seconds(100),
     .to = Seconds(110),
     .power = Watts(10),
     .bandwidth_share = 0.9},
    {.kind = Disturbance::Kind::kAmbient,
     .from = Seconds(100),
     .to = Seconds(200),
     .ambient = Celsius(5)}};

TEST(Disturbances, ActFromTheirStartUntilTheirEnd) {
  EXPECT_EQ(disturbance_at(kAll, Seconds(79.9)).background_power, Watts(0));
  EXPECT_EQ(disturbance_at(kAll, Seconds(80)).background_power, Watts(60));
  EXPECT_EQ(disturbance_at(kAll, Seconds(139.9)).background_power, Watts(60));
  EXPECT_EQ(disturbance_at(kAll, Seconds(140)).background_power, Watts(0));
}

TEST(Disturbances, AddUpAndLeaveSomeBandwidth) {
  const GpuDisturbance both = disturbance_at(kAll, Seconds(105));
  EXPECT_EQ(both.background_power, Watts(70));
  EXPECT_LT(both.bandwidth_share, 1.0);
  EXPECT_GE(both.bandwidth_share, 0.9);
  EXPECT_EQ(both.ambient_offset, Celsius(5));
}

TEST(Disturbances, TicksThatAreSumsOfTenthsHitTheirStart) {
  double now = 0.0;
  int hit = 0;
  for (int i = 0; i < 1500; ++i, now += 0.1) {
    hit += disturbance_at(kAll, Seconds(now)).background_power > Watts(0) ? 1 : 0;
  }
  EXPECT_EQ(hit, 600);
}

TEST(Disturbances, SensorFaultsGoToTheSensors) {
  const auto faults = sensor_faults(kAll);
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].kind, SensorFault::Kind::kFreeze);
  EXPECT_TRUE(sensors_faulty_at(kAll, Seconds(1.5)));
  EXPECT_FALSE(sensors_faulty_at(kAll, Seconds(80)));
}

TEST(Disturbances, TheFirstOfTheHardwareStartsTheSettlingClock) {
  EXPECT_EQ(first_disturbance(kAll)->from, Seconds(80));
  EXPECT_FALSE(first_disturbance({}).has_value());
}

}  // namespace
}  // namespace thermoe
