// SPDX-License-Identifier: Apache-2.0
#include "telemetry/plausibility.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "scripted_source.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

HostReading chip(double celsius) {
  HostReading host{.name = "nvme Composite"};
  host.temperature.value = Celsius(celsius);
  return host;
}

TEST(Plausibility, WhatNoGpuCanSayIsAbsentAndRejectedAndTheRestStays) {
  GpuReading gpu;
  gpu.power_average.value = Watts(4294967.0);
  gpu.power_instant.value = Watts(-5.0);
  gpu.temperature.value = Celsius(4e9);
  gpu.gpu_utilisation.value = 4.0;
  gpu.sm_clock.value = Megahertz(std::numeric_limits<double>::infinity());
  gpu.energy.value = Joules(std::nan(""));
  gpu.memory_temperature.value = Celsius(-40.0);
  gpu.throttle_reasons.value = 0x8000000000000001;
  EXPECT_EQ(reject_impossible(gpu).size(), 6U);
  EXPECT_EQ(gpu.power_average.value, std::nullopt);
  EXPECT_TRUE(gpu.power_average.rejected);
  EXPECT_TRUE(gpu.power_instant.rejected);
  EXPECT_TRUE(gpu.temperature.rejected);
  EXPECT_TRUE(gpu.gpu_utilisation.rejected);
  EXPECT_TRUE(gpu.sm_clock.rejected);
  EXPECT_TRUE(gpu.energy.rejected);
  EXPECT_EQ(gpu.memory_temperature.value, Celsius(-40.0));
  EXPECT_EQ(gpu.throttle_reasons.value, 0x8000000000000001);
}

TEST(Plausibility, WhatNoHostCanSayIsAbsentToo) {
  for (const double celsius : {-273.15, 3.9e6}) {
    HostReading host = chip(celsius);
    EXPECT_THAT(reject_impossible(host), ElementsAre(HasSubstr("host_temp_c")));
    EXPECT_EQ(host.temperature.value, std::nullopt);
  }
  HostReading meter{.name = "meter"};
  meter.power.value = Watts(-5.0);
  EXPECT_THAT(reject_impossible(meter), ElementsAre("host_power_w -5, which cannot be (0 to "
                                                    "100000)"));
}

TEST(Plausibility, EverySourceIsCheckedAndSaysItOnceInTheSameWords) {
  double celsius = -273.15;
  ScriptedSource source([&] { return Snapshot{.host = {chip(celsius)}}; });
  const Snapshot first = source.read(Seconds(0.0));
  EXPECT_EQ(first.host.at(0).temperature.value, std::nullopt);
  EXPECT_TRUE(first.host.at(0).temperature.rejected);
  ASSERT_THAT(first.problems,
              ElementsAre(AllOf(HasSubstr("nvme Composite"), HasSubstr("-273.15"))));
  celsius = 3.9e6;  // what changes is no news
  EXPECT_EQ(source.read(Seconds(1.0)).problems, first.problems);
  celsius = 41.0;
  const Snapshot well = source.read(Seconds(2.0));
  EXPECT_EQ(well.host.at(0).temperature.value, Celsius(41.0));
  EXPECT_EQ(well.problems, first.problems);
  EXPECT_THAT(source.read(Seconds(62.0)).problems, IsEmpty());
}

}  // namespace
}  // namespace thermoe
