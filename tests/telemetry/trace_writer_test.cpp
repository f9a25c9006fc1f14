// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_writer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "telemetry/gpu_reading_fields.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

GpuReading everything() {
  GpuReading gpu{.name = "NVIDIA H100, \"left\"", .uuid = "GPU-1"};
  gpu.temperature.value = Celsius(55);
  gpu.memory_temperature.value = Celsius(61);
  gpu.power_average.value = Watts(350.123);
  gpu.power_instant.value = Watts(432.101);
  gpu.power_limit.value = Watts(700);
  gpu.energy.value = Joules(20000000000.001);  // a year of 700 W
  gpu.gpu_utilisation.value = 0.78;
  gpu.memory_utilisation.value = 0.43;
  gpu.sm_clock.value = Megahertz(1980);
  gpu.memory_clock.value = Megahertz(2619);
  gpu.throttle_reasons.value = 0x105;
  return gpu;
}

TEST(TraceWriter, EveryReadingComesBackFromTheFile) {
  Snapshot written{.at = Seconds(1.5), .simulated = true, .gpus = {everything(), everything()}};
  written.gpus[1].index = 3;
  written.gpus[1].energy_gaps = 2;
  written.host = {{.name = "RAPL package-0"}};
  written.host[0].power.value = Watts(95.5);
  written.host[0].energy.value = Joules(1000.25);
  written.host[0].temperature.value = Celsius(48);

  const auto read =
      parse_telemetry_trace(trace_header() + trace_rows(written, "12:00"), "x.csv").snapshots;
  ASSERT_EQ(read.size(), 1U);
  EXPECT_EQ(read[0].at, written.at);
  EXPECT_TRUE(read[0].simulated);
  ASSERT_EQ(read[0].gpus.size(), 2U);
  for (const GpuReading& gpu : read[0].gpus) {
    EXPECT_EQ(gpu.name, written.gpus[0].name);
    EXPECT_EQ(gpu.uuid, written.gpus[0].uuid);
    for_each_reading(gpu, written.gpus[0],
                     [](const auto& back, const auto& was) { EXPECT_EQ(back.value, was.value); });
  }
  EXPECT_EQ(read[0].gpus[1].index, 3U);
  EXPECT_EQ(read[0].gpus[1].energy_gaps, 2U);
  ASSERT_EQ(read[0].host.size(), 1U);
  EXPECT_EQ(read[0].host[0].name, "RAPL package-0");
  for_each_host_reading(read[0].host[0], written.host[0], [](const auto& back, const auto& was) {
    EXPECT_EQ(back.value, was.value);
  });
}

TEST(TraceWriter, AGpusNameCannotSteerATerminal) {
  GpuReading gpu{.name = "H100\x1b[2J\xFF", .uuid = "GPU-\x1b]0;x\a"};
  const std::string rows = trace_rows({.at = Seconds(1), .gpus = {gpu}}, "12:00");
  EXPECT_THAT(rows, HasSubstr(",H100[2J\xEF\xBF\xBD,GPU-]0;x,"));
}

TEST(TraceWriter, AbsentReadingsStayAbsent) {
  Snapshot written{.at = Seconds(1), .gpus = {GpuReading{.name = "A"}}};
  written.gpus[0].power_instant.value = Watts(100);
  const auto read =
      parse_telemetry_trace(trace_header() + trace_rows(written, ""), "x.csv").snapshots;
  EXPECT_EQ(read[0].gpus[0].power_instant.value, Watts(100));
  EXPECT_EQ(read[0].gpus[0].power_average.value, std::nullopt);
  EXPECT_EQ(read[0].gpus[0].throttle_reasons.value, std::nullopt);
  EXPECT_FALSE(read[0].simulated);
}

TEST(TraceWriter, TheHeaderNamesUnitsAndTheTimeComesFirst) {
  EXPECT_THAT(trace_header(), StartsWith("t_s,utc,simulated,gpu,name,uuid,power_w,"));
  EXPECT_THAT(trace_header(), HasSubstr(",temp_mem_c,"));
}

TEST(TraceWriter, APollWithoutDevicesIsNoRow) { EXPECT_EQ(trace_rows(Snapshot{}, "12:00"), ""); }

}  // namespace
}  // namespace thermoe
