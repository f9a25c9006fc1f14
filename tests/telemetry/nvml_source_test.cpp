// SPDX-License-Identifier: Apache-2.0
#include "telemetry/nvml_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/errors.h"
#include "fake_nvml/scripted_nvml.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A source on the fake NVML, and the time it lives in.
class NvmlSourceTest : public ::testing::Test {
 protected:
  NvmlOptions options() const {
    return {.library = nvml_.library(),
            .reconnect_period = Seconds(1.0),
            .reconnect_period_max = Seconds(4.0)};
  }
  Snapshot read_at(double t) { return source_.read(Seconds(t)); }
  std::string error_at(double t) {
    try {
      read_at(t);
    } catch (const TelemetryError& e) {
      return e.what();
    }
    return "no error";
  }

  ScriptedNvml nvml_;
  NvmlSource source_{options()};
};

TEST_F(NvmlSourceTest, LoadsAndAsksNothingBeforeTheFirstRead) {
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 0U);
  read_at(0.0);
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 1U);
}

TEST_F(NvmlSourceTest, ReadsEverySensorOfEveryGpuInItsUnit) {
  nvml_.write(R"(
    gpus = 2
    gpu0.throttle_reasons = 36   # software power cap 4, software thermal slowdown 32
    gpu1.name = Other
    gpu1.uuid = GPU-1
    gpu1.power_instant = 412.345
  )");
  const Snapshot snapshot = read_at(3.0);
  ASSERT_EQ(snapshot.gpus.size(), 2U);
  EXPECT_FALSE(snapshot.simulated);
  EXPECT_THAT(snapshot.problems, IsEmpty());
  const GpuReading& gpu = snapshot.gpus[0];
  EXPECT_EQ(gpu.name, "Fake H100");
  EXPECT_EQ(gpu.uuid, "GPU-fake-0");
  EXPECT_EQ(gpu.temperature.value, Celsius(50.0));
  EXPECT_EQ(gpu.memory_temperature.value, Celsius(60.0));
  EXPECT_EQ(gpu.power_average.value, Watts(300.0));
  EXPECT_EQ(gpu.power_instant.value, Watts(305.0));
  EXPECT_EQ(gpu.power_limit.value, Watts(700.0));
  EXPECT_EQ(gpu.energy.value, Joules(1000.0));
  EXPECT_EQ(gpu.gpu_utilisation.value, 0.75);
  EXPECT_EQ(gpu.memory_utilisation.value, 0.40);
  EXPECT_EQ(gpu.sm_clock.value, Megahertz(1980.0));
  EXPECT_EQ(gpu.memory_clock.value, Megahertz(2619.0));
  EXPECT_EQ(gpu.throttle_reasons.value, 36U);
  EXPECT_EQ(snapshot.gpus[1].name, "Other");
  EXPECT_EQ(snapshot.gpus[1].uuid, "GPU-1");
  EXPECT_DOUBLE_EQ(snapshot.gpus[1].power_instant.value->value, 412.345);
}

TEST_F(NvmlSourceTest, AnUnsupportedReadingIsAbsentAndIsNotAskedForAgain) {
  nvml_.write("gpu.temperature = not_supported\ngpu.power_average = no_permission\n");
  for (int i = 0; i < 5; ++i) {
    const GpuReading gpu = read_at(0.1 * i).gpus.at(0);
    EXPECT_EQ(gpu.temperature.value, std::nullopt);
    EXPECT_EQ(gpu.power_instant.value, Watts(305.0));  // its neighbour in the same call
    // What NVML's nvmlDeviceGetPowerUsage says stands in for the average on this chip.
    EXPECT_EQ(gpu.power_average.value, Watts(300.0));
  }
  EXPECT_EQ(nvml_.calls("nvmlDeviceGetTemperature"), 1U);
}

TEST_F(NvmlSourceTest, AReadingThatFailsOnceIsAskedForAgain) {
  nvml_.write("gpu.temperature = unknown\nfail.nvmlDeviceGetClockInfo = timeout\n");
  EXPECT_EQ(read_at(0.0).gpus.at(0).temperature.value, std::nullopt);
  EXPECT_EQ(read_at(0.1).gpus.at(0).sm_clock.value, std::nullopt);
  nvml_.write("gpu.temperature = 61\n");
  const GpuReading gpu = read_at(0.2).gpus.at(0);
  EXPECT_EQ(gpu.temperature.value, Celsius(61.0));
  EXPECT_EQ(gpu.sm_clock.value, Megahertz(1980.0));
}

TEST_F(NvmlSourceTest, TheEnergyCounterIsReadOnceASecondAndOnRequest) {
  EXPECT_EQ(read_at(0.0).gpus.at(0).energy.value, Joules(1000.0));
  EXPECT_EQ(read_at(0.5).gpus.at(0).energy.value, std::nullopt);
  EXPECT_EQ(read_at(0.9).gpus.at(0).energy.value, std::nullopt);
  EXPECT_EQ(nvml_.calls("nvmlDeviceGetTotalEnergyConsumption"), 1U);
  EXPECT_EQ(read_at(1.0).gpus.at(0).energy.value, Joules(1030.0));
  source_.request_energy();
  EXPECT_EQ(read_at(1.1).gpus.at(0).energy.value, Joules(1060.0));
  EXPECT_EQ(read_at(1.2).gpus.at(0).energy.value, std::nullopt);
}

TEST_F(NvmlSourceTest, NotAvailableAndImpossibleValuesAreAbsentAndZeroIsAValue) {
  nvml_.write(R"(
    gpu.temperature = -1            # NVML's "not available", all bits set
    gpu.power_limit = -0.001
    gpu.memory_temperature = -1
    gpu.gpu_utilisation = 400
    gpu.power_instant = 0
  )");
  const GpuReading gpu = read_at(0.0).gpus.at(0);
  EXPECT_EQ(gpu.temperature.value, std::nullopt);
  EXPECT_EQ(gpu.power_limit.value, std::nullopt);
  EXPECT_EQ(gpu.memory_temperature.value, std::nullopt);
  EXPECT_EQ(gpu.gpu_utilisation.value, std::nullopt);
  EXPECT_EQ(gpu.memory_utilisation.value, 0.40);
  EXPECT_EQ(gpu.power_instant.value, Watts(0.0));
}

TEST_F(NvmlSourceTest, WhatNoGpuCanDrawIsAbsentAndSaid) {
  nvml_.write("gpu.power_average = 4294967\ngpu.temperature = 4000000000\n");
  const Snapshot snapshot = read_at(0.0);
  EXPECT_EQ(snapshot.gpus.at(0).power_average.value, std::nullopt);
  EXPECT_EQ(snapshot.gpus.at(0).temperature.value, std::nullopt);
  EXPECT_EQ(snapshot.gpus.at(0).power_instant.value, Watts(305.0));
  EXPECT_THAT(snapshot.problems,
              ElementsAre(AllOf(HasSubstr("GPU 0"), HasSubstr("power_w 4294967")),
                          AllOf(HasSubstr("GPU 0"), HasSubstr("temp_gpu_c 4000000000"))));
}

TEST_F(NvmlSourceTest, OneLostGpuGoesAbsentAndTheOthersGoOn) {
  nvml_.write("gpus = 3\n");
  read_at(0.0);
  nvml_.write("gpus = 3\ngpu1.state = lost\n");
  const Snapshot snapshot = read_at(0.1);
  ASSERT_EQ(snapshot.gpus.size(), 3U);
  EXPECT_EQ(snapshot.gpus[0].power_instant.value, Watts(305.0));
  EXPECT_EQ(snapshot.gpus[1].power_instant.value, std::nullopt);
  EXPECT_EQ(snapshot.gpus[1].temperature.value, std::nullopt);
  EXPECT_EQ(snapshot.gpus[1].uuid, "GPU-fake-1");
  EXPECT_EQ(snapshot.gpus[2].power_instant.value, Watts(305.0));
  EXPECT_THAT(snapshot.problems,
              ElementsAre(AllOf(HasSubstr("GPU 1"), HasSubstr("GPU-fake-1"),
                                HasSubstr("GPU is lost"), HasSubstr("nvidia-smi --gpu-reset"))));
}

TEST_F(NvmlSourceTest, AGpuThatComesBackTakesItsPlaceThoughNvmlListsItElsewhere) {
  nvml_.write("gpus = 2\ngpu0.uuid = A\ngpu1.uuid = B\ngpu1.power_instant = 200\n");
  read_at(0.0);
  nvml_.write("gpus = 2\ngpu0.uuid = A\ngpu1.uuid = B\ngpu0.state = reset_required\n");
  EXPECT_EQ(read_at(0.1).gpus.at(0).power_instant.value, std::nullopt);
  nvml_.write("gpus = 2\ngpu0.uuid = B\ngpu1.uuid = A\ngpu1.power_instant = 100\n");
  // The driver tells of it only after NVML was initialised anew, which waits for its time.
  EXPECT_EQ(read_at(1.0).gpus.at(0).power_instant.value, std::nullopt);
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 1U);
  const Snapshot snapshot = read_at(1.2);
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 2U);
  ASSERT_EQ(snapshot.gpus.size(), 2U);
  EXPECT_EQ(snapshot.gpus[0].uuid, "A");
  EXPECT_EQ(snapshot.gpus[0].power_instant.value, Watts(100.0));
  EXPECT_EQ(snapshot.gpus[1].uuid, "B");
  EXPECT_EQ(snapshot.gpus[1].power_instant.value, Watts(305.0));
  EXPECT_THAT(snapshot.problems, IsEmpty());
}

TEST_F(NvmlSourceTest, AGpuThatNvmlNoLongerListsKeepsItsPlaceAndANewOneJoinsAtTheEnd) {
  nvml_.write("gpus = 2\ngpu0.uuid = A\ngpu1.uuid = B\n");
  read_at(0.0);
  nvml_.write("gpus = 2\ngpu0.uuid = A\ngpu1.uuid = B\ngpu0.state = lost\n");
  read_at(0.1);
  nvml_.write("gpus = 2\ngpu0.uuid = B\ngpu1.uuid = C\n");
  const Snapshot snapshot = read_at(2.0);
  ASSERT_EQ(snapshot.gpus.size(), 3U);
  EXPECT_EQ(snapshot.gpus[0].power_instant.value, std::nullopt);
  EXPECT_EQ(snapshot.gpus[1].power_instant.value, Watts(305.0));
  EXPECT_EQ(snapshot.gpus[2].uuid, "C");
  EXPECT_EQ(snapshot.gpus[2].power_instant.value, Watts(305.0));
}

TEST_F(NvmlSourceTest, AfterAReconnectWhatWasRefusedIsAskedForAgain) {
  nvml_.write("gpus = 2\ngpu0.temperature = no_permission\n");
  EXPECT_EQ(read_at(0.0).gpus.at(0).temperature.value, std::nullopt);
  nvml_.write("gpus = 2\ngpu1.state = lost\n");
  EXPECT_EQ(read_at(0.1).gpus.at(0).temperature.value, std::nullopt);
  nvml_.write("gpus = 2\n");
  EXPECT_EQ(read_at(1.2).gpus.at(0).temperature.value, Celsius(50.0));
}

TEST_F(NvmlSourceTest, WhenAllAreLostItSaysSoShutsDownAndGoesOnWhenTheyComeBack) {
  nvml_.write("gpus = 2\n");
  read_at(0.0);
  nvml_.write("gpus = 2\ngpu.state = lost\n");
  const std::string error = error_at(0.1);
  EXPECT_THAT(error, AllOf(HasSubstr("no GPU is left"), HasSubstr("GPU is lost")));
  EXPECT_EQ(nvml_.calls("nvmlShutdown"), 1U);
  EXPECT_EQ(error_at(0.6), error) << "whoever reads it again sees that it is no news";
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 1U);
  nvml_.write("gpus = 2\n");
  EXPECT_EQ(read_at(1.2).gpus.at(1).power_instant.value, Watts(305.0));
}

TEST_F(NvmlSourceTest, AnEnergyRequestOutlivesAPollThatFails) {
  read_at(0.0);
  nvml_.write("gpu.state = lost\n");
  source_.request_energy();
  error_at(0.1);
  nvml_.write("gpu.energy = 5\n");
  EXPECT_EQ(read_at(1.2).gpus.at(0).energy.value, Joules(5.0));
  EXPECT_EQ(read_at(1.3).gpus.at(0).energy.value, std::nullopt);
}

TEST_F(NvmlSourceTest, AttemptsToReconnectGrowApartUpToTheLongestPeriod) {
  nvml_.write("init = driver_not_loaded\n");
  for (double t = 0.0; t < 15.95; t += 0.1) error_at(t);
  // At 0, 1, 3, 7, 11 and 15 s: 1, 2, then 4 s apart.
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 6U);
}

TEST_F(NvmlSourceTest, ADriverThatIsNotLoadedIsNamedWithTheRemedyAndFoundOnceLoaded) {
  nvml_.write("init = driver_not_loaded\n");
  EXPECT_THAT(error_at(0.0), AllOf(HasSubstr("NVML cannot be initialised: Driver Not Loaded"),
                                   HasSubstr("sudo modprobe nvidia")));
  nvml_.write("");
  EXPECT_EQ(read_at(1.1).gpus.at(0).power_instant.value, Watts(305.0));
}

TEST_F(NvmlSourceTest, ADriverUnloadedUnderItMakesEveryReadingFailUntilItIsBack) {
  read_at(0.0);
  nvml_.write("init = driver_not_loaded\nfail.nvmlDeviceGetFieldValues = uninitialized\n");
  EXPECT_THAT(error_at(0.1), HasSubstr("Uninitialized"));
  EXPECT_THAT(error_at(1.2), HasSubstr("Driver Not Loaded"));
  nvml_.write("");
  EXPECT_EQ(read_at(3.3).gpus.at(0).power_instant.value, Watts(305.0));
}

TEST_F(NvmlSourceTest, ADriverWithoutAGpuIsSaid) {
  nvml_.write("gpus = 0\n");
  EXPECT_THAT(error_at(0.0), HasSubstr("finds no GPU"));
}

TEST_F(NvmlSourceTest, AGpuWithoutPermissionIsAProblemAndNoReasonToReconnect) {
  nvml_.write("gpus = 2\ngpu1.state = no_permission\n");
  const Snapshot snapshot = read_at(0.0);
  EXPECT_EQ(snapshot.gpus.size(), 2U);
  EXPECT_EQ(snapshot.gpus.at(1).power_instant.value, std::nullopt);
  EXPECT_THAT(snapshot.problems, ElementsAre(AllOf(HasSubstr("cannot open GPU 1"),
                                                   HasSubstr("Insufficient Permissions"))));
  read_at(100.0);
  EXPECT_EQ(nvml_.calls("nvmlInit_v2"), 1U);
}

std::vector<unsigned> indices(const Snapshot& snapshot) {
  std::vector<unsigned> all;
  for (const GpuReading& gpu : snapshot.gpus) all.push_back(gpu.index);
  return all;
}

TEST_F(NvmlSourceTest, AGpuThatDoesNotOpenKeepsAnEmptyPlaceAndItsReturnRenumbersNone) {
  nvml_.write("gpus = 4\ngpu2.power_average = 120\ngpu1.state = lost\n");
  const Snapshot without = read_at(0.0);
  EXPECT_THAT(indices(without), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(without.gpus[1].uuid, "");
  EXPECT_EQ(without.gpus[1].power_average.value, std::nullopt);
  EXPECT_EQ(without.gpus[2].uuid, "GPU-fake-2");
  EXPECT_EQ(without.gpus[2].power_average.value, Watts(120.0));
  EXPECT_THAT(without.problems, ElementsAre(HasSubstr("cannot open GPU 1")));
  nvml_.write("gpus = 4\ngpu2.power_average = 120\n");
  const Snapshot with = read_at(1.2);
  EXPECT_THAT(indices(with), ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(with.gpus[1].uuid, "GPU-fake-1");
  EXPECT_EQ(with.gpus[1].power_average.value, Watts(300.0));
  EXPECT_EQ(with.gpus[2].power_average.value, Watts(120.0));
  EXPECT_THAT(with.problems, IsEmpty());
}

TEST_F(NvmlSourceTest, AnEnergyCounterThatBeginsAnewIsAGap) {
  nvml_.write("gpus = 2\ngpu.energy = 5000\n");
  EXPECT_EQ(read_at(0.0).gpus.at(0).energy_gaps, 0U);
  nvml_.write("gpus = 2\ngpu0.energy = 7\ngpu1.energy = 5100\n");
  const Snapshot anew = read_at(1.0);
  EXPECT_EQ(anew.gpus.at(0).energy.value, Joules(7.0));
  EXPECT_EQ(anew.gpus.at(0).energy_gaps, 1U);
  EXPECT_EQ(anew.gpus.at(1).energy_gaps, 0U);
}

TEST_F(NvmlSourceTest, AGpuThatWasAwayMayHaveBegunItsCounterAnewUnseen) {
  nvml_.write("gpus = 2\ngpu.energy = 5000\n");
  read_at(0.0);
  nvml_.write("gpus = 2\ngpu.energy = 5000\ngpu0.state = lost\n");
  read_at(0.1);
  nvml_.write("gpus = 2\ngpu.energy = 6000\n");
  const Snapshot back = read_at(1.2);
  EXPECT_EQ(back.gpus.at(0).energy_gaps, 1U);
  EXPECT_EQ(back.gpus.at(1).energy_gaps, 0U);  // NVML began anew, its counter did not
}

TEST(NvmlSource, PeriodsOutOfRangeAreRefused) {
  EXPECT_THROW(NvmlSource({.energy_period = Seconds(-1.0)}), PreconditionError);
  EXPECT_THROW(NvmlSource({.reconnect_period = Seconds(0.0)}), PreconditionError);
  EXPECT_THROW(NvmlSource({.reconnect_period_max = Seconds(0.5)}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
