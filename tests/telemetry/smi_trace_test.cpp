// SPDX-License-Identifier: Apache-2.0
#include "telemetry/smi_trace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "core/errors.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::string error_of(const std::string& text) {
  try {
    parse_telemetry_trace(text, "smi.csv");
  } catch (const FormatError& error) {
    return error.what();
  }
  return "no error";
}

TEST(SmiTrace, NvidiaSmisOwnCsvIsARecording) {
  const TelemetryTrace trace = parse_telemetry_trace(
      "timestamp, index, name, power.draw [W], temperature.gpu, utilization.gpu [%], "
      "clocks.current.sm [MHz], clocks_event_reasons.active\n"
      "2026/01/02 10:00:00.123, 0, NVIDIA H100 80GB HBM3, 71.31 W, 33, 0 %, 345 MHz, "
      "0x0000000000000001\n"
      "2026/01/02 10:00:01.125, 0, NVIDIA H100 80GB HBM3, 305.10 W, 41, 97 %, 1980 MHz, "
      "0x8000000000000004\n",
      "smi.csv");
  EXPECT_THAT(trace.problems, IsEmpty());
  ASSERT_EQ(trace.snapshots.size(), 2U);
  EXPECT_NEAR((trace.snapshots[1].at - trace.snapshots[0].at).value, 1.002, 1e-6);
  const GpuReading& gpu = trace.snapshots[1].gpus.at(0);
  EXPECT_EQ(gpu.name, "NVIDIA H100 80GB HBM3");
  EXPECT_EQ(gpu.power_average.value, Watts(305.10));
  EXPECT_EQ(gpu.temperature.value, Celsius(41));
  EXPECT_EQ(gpu.gpu_utilisation.value, 0.97);
  EXPECT_EQ(gpu.sm_clock.value, Megahertz(1980));
  EXPECT_EQ(gpu.throttle_reasons.value, 0x8000000000000004);
}

TEST(SmiTrace, TheGpusOfOnePollAreOneSnapshotWhateverTheirMilliseconds) {
  const TelemetryTrace trace = parse_telemetry_trace(
      "timestamp, index, uuid, power.draw.instant [W], power.draw [W]\n"
      "2026/12/31 23:59:59.990, 1, GPU-b, 110, 111\n"
      "2026/12/31 23:59:59.998, 4, GPU-e, 120, 121\n"
      "2027/01/01 00:00:00.990, 1, GPU-b, 130, 131\n"
      "2027/01/01 00:00:00.999, 4, GPU-e, 140, 141\n",
      "smi.csv");
  ASSERT_EQ(trace.snapshots.size(), 2U);
  ASSERT_EQ(trace.snapshots[1].gpus.size(), 2U);
  EXPECT_NEAR((trace.snapshots[1].at - trace.snapshots[0].at).value, 1.0, 1e-6);
  EXPECT_EQ(trace.snapshots[1].gpus[1].index, 4U);
  EXPECT_EQ(trace.snapshots[1].gpus[1].uuid, "GPU-e");
  EXPECT_EQ(trace.snapshots[1].gpus[1].power_instant.value, Watts(140));
  EXPECT_EQ(trace.snapshots[1].gpus[1].power_average.value, Watts(141));
}

TEST(SmiTrace, WhatAGpuDoesNotHaveIsAbsentAndWhatFailsIsAlsoSaid) {
  const TelemetryTrace trace = parse_telemetry_trace(
      "timestamp, uuid, temperature.gpu, temperature.memory, power.draw [W], fan.speed [%]\n"
      "2026/01/02 10:00:00.000, GPU-a, 33, N/A, [Not Supported], [N/A]\n"
      "2026/01/02 10:00:00.000, GPU-b, 34, [N/A], [Unknown Error], [N/A]\n",
      "smi.csv");
  ASSERT_EQ(trace.snapshots.size(), 1U);
  ASSERT_EQ(trace.snapshots[0].gpus.size(), 2U);  // told apart by uuid
  EXPECT_EQ(trace.snapshots[0].gpus[0].power_average.value, std::nullopt);
  EXPECT_EQ(trace.snapshots[0].gpus[1].temperature.value, Celsius(34));
  EXPECT_THAT(trace.problems, ElementsAre(HasSubstr("line 3, column power.draw [W]: '[Unknown "
                                                    "Error]'")));
}

TEST(SmiTrace, AnErrorOfNvidiaSmiInTheMiddleCostsItsLine) {
  const TelemetryTrace trace = parse_telemetry_trace(
      "timestamp, index, power.draw [W]\n"
      "2026/01/02 10:00:00.000, 0, 300 W\n"
      "Unable to determine the device handle for GPU1: 0000:1B:00.0: GPU is lost.\n"
      "2026/01/02 10:00:01.000, 0, 301 W\n",
      "smi.csv");
  EXPECT_EQ(trace.snapshots.size(), 2U);
  EXPECT_THAT(trace.problems, Contains(HasSubstr("line 3")));
}

TEST(SmiTrace, WithoutHeaderOrTimestampItIsRefusedWithTheCommandThatRecordsThem) {
  EXPECT_THAT(error_of("2026/01/02 10:00:00.123, 0, 71.31\n2026/01/02 10:00:01.123, 0, 71.31\n"),
              AllOf(HasSubstr("line 1"), HasSubstr("leave out noheader"),
                    HasSubstr("--query-gpu=timestamp,index")));
  EXPECT_THAT(error_of("0, 71.31 W, 345 MHz\n"), HasSubstr("leave out noheader"));
  EXPECT_THAT(error_of("0, GPU-a, NVIDIA L4, 71.31, [N/A]\n"), HasSubstr("leave out noheader"));
  EXPECT_THAT(error_of("index, power.draw [W]\n0, 71.31 W\n"),
              AllOf(HasSubstr("column timestamp"), HasSubstr("--query-gpu=timestamp,index")));
}

TEST(SmiTrace, TwoRecordingsInOneFileAreRefused) {
  const std::string one = "timestamp, power.draw [W]\n2026/01/02 10:00:00.000, 300 W\n";
  EXPECT_THAT(error_of(one + one), AllOf(HasSubstr("line 3"), HasSubstr("two recordings")));
  EXPECT_THAT(error_of(one + "2026/01/02 09:59:00.000, 300 W\n"), HasSubstr("two recordings"));
}

}  // namespace
}  // namespace thermoe
