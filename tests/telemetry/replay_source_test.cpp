// SPDX-License-Identifier: Apache-2.0
#include "telemetry/replay_source.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "core/errors.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

/// A file of this content, while it lives.
class TemporaryFile {
 public:
  explicit TemporaryFile(const std::string& text)
      : path_(::testing::TempDir() + "replay_source_test." + std::to_string(::getpid())) {
    std::ofstream(path_) << text;
  }
  ~TemporaryFile() { std::filesystem::remove(path_); }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

constexpr const char* kTrace = THERMOE_SOURCE_DIR "/data/h100/thermal_trace.csv";

TEST(ReplaySource, GivesTheTracesValuesAtItsTimes) {
  ReplaySource source(kTrace, Seconds(0));
  const auto at = [&](double t) { return source.read(Seconds(t)).gpus.at(0); };
  EXPECT_EQ(at(0.0).power_average.value, Watts(481.086));
  EXPECT_EQ(at(0.0).power_instant.value, Watts(562.006));
  EXPECT_EQ(at(0.103).power_instant.value, Watts(150.095));  // the row of 0.102 s
  const GpuReading copying = at(98.794);
  EXPECT_EQ(copying.temperature.value, Celsius(55.0));
  EXPECT_EQ(copying.memory_temperature.value, Celsius(67.0));
  EXPECT_EQ(copying.memory_utilisation.value, 1.0);
  EXPECT_EQ(copying.sm_clock.value, Megahertz(1980.0));
  EXPECT_EQ(copying.energy.value, std::nullopt);  // the recording has no such column
  EXPECT_FALSE(source.read(Seconds(98.794)).simulated);
}

TEST(ReplaySource, CountsTimeFromItsStart) {
  ReplaySource source(kTrace, Seconds(1000.0));
  EXPECT_EQ(source.read(Seconds(999.9)).gpus.at(0).power_average.value, Watts(481.086));
  EXPECT_EQ(source.read(Seconds(1000.0)).gpus.at(0).power_average.value, Watts(481.086));
}

TEST(ReplaySource, PlaysFromTheFirstRowOn) {
  const TemporaryFile file("t_s,power_w\n500,10\n501.5,20\n");
  ReplaySource source(file.path(), Seconds(0));
  EXPECT_EQ(source.length(), Seconds(1.5));
  EXPECT_EQ(source.read(Seconds(0)).gpus.at(0).power_average.value, Watts(10));
  EXPECT_EQ(source.read(Seconds(0)).gpus.at(0).name, "replay of " + file.path());
  EXPECT_EQ(source.read(Seconds(1.5)).gpus.at(0).power_average.value, Watts(20));
}

TEST(ReplaySource, ASimulatedRecordingStaysSimulated) {
  const TemporaryFile file("t_s,simulated,power_w\n0,0,10\n1,1,20\n");
  ReplaySource source(file.path(), Seconds(0));
  EXPECT_TRUE(source.simulated());
  EXPECT_FALSE(source.read(Seconds(0)).simulated);
  EXPECT_TRUE(source.read(Seconds(1)).simulated);
}

TEST(ReplaySource, SaysWhenTheRecordingHasEnded) {
  ReplaySource source(kTrace, Seconds(0));
  EXPECT_NO_THROW(source.read(Seconds(109.997)));
  EXPECT_THROW(source.read(Seconds(110.5)), TelemetryError);
}

TEST(ReplaySource, AMissingFileIsNamed) {
  try {
    ReplaySource source("/nowhere/trace.csv", Seconds(0));
    FAIL() << "no error";
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), HasSubstr("/nowhere/trace.csv"));
  }
}

TEST(TelemetryTrace, ColumnsComeByNameInAnyOrderAndUnknownOnesAreIgnored) {
  const auto rows =
      parse_telemetry_trace("note,power_w,t_s\r\nhello,120.5,1\r\n,121,2\r\n", "x.csv");
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].at, Seconds(2.0));
  EXPECT_EQ(rows[0].gpus.at(0).power_average.value, Watts(120.5));
}

TEST(TelemetryTrace, RowsOfOneTimeAreTheGpusOfOneSnapshot) {
  const auto rows = parse_telemetry_trace(
      "t_s,gpu,name,power_w\n0,1,\"H100, left\",11\n0,0,A,10\n1,0,A,20\n", "x.csv");
  ASSERT_EQ(rows.size(), 2U);
  ASSERT_EQ(rows[0].gpus.size(), 2U);
  EXPECT_EQ(rows[0].gpus[0].power_average.value, Watts(10));
  EXPECT_EQ(rows[0].gpus[1].name, "H100, left");
  EXPECT_EQ(rows[1].gpus.size(), 1U);
}

TEST(TelemetryTrace, AHighIndexTakesNoMoreMemoryThanALowOne) {
  const auto rows = parse_telemetry_trace("t_s,gpu,power_w\n0,1023,10\n1,1023,20\n", "x.csv");
  ASSERT_EQ(rows.at(0).gpus.size(), 1U);
  EXPECT_EQ(rows[0].gpus[0].index, 1023U);
}

TEST(TelemetryTrace, HostSensorsAndGpusRecordedAtOtherTimesAreShownTogether) {
  const auto rows = parse_telemetry_trace(
      "t_s,gpu,power_w,host,host_power_w\n0,0,10,,\n0.5,,,RAPL package-0,95\n1,0,20,,\n", "x.csv");
  ASSERT_EQ(rows.size(), 3U);
  EXPECT_TRUE(rows[0].host.empty());
  EXPECT_EQ(rows[1].gpus.at(0).power_average.value, Watts(10));
  EXPECT_EQ(rows[2].host.at(0).name, "RAPL package-0");
  EXPECT_EQ(rows[2].host.at(0).power.value, Watts(95));
}

TEST(TelemetryTrace, ALastLineThatWasTornIsLeftOut) {
  const auto trace = parse_telemetry_trace("t_s,power_w,temp_gpu_c\n0,5,50\n1,6", "torn.csv");
  ASSERT_EQ(trace.size(), 1U);
  EXPECT_EQ(trace[0].gpus[0].power_average.value, Watts(5));
  // A whole line may lack its line break: not every tool writes one.
  EXPECT_EQ(parse_telemetry_trace("t_s,power_w\n0,5\n1,6", "whole.csv").size(), 2U);
}

TEST(TelemetryTrace, AnEmptyCellIsAnAbsentReading) {
  const auto rows = parse_telemetry_trace("t_s,power_w,temp_gpu_c\n0,,51\n1,200,\n", "x.csv");
  EXPECT_EQ(rows[0].gpus.at(0).power_average.value, std::nullopt);
  EXPECT_EQ(rows[0].gpus.at(0).temperature.value, Celsius(51.0));
  EXPECT_EQ(rows[1].gpus.at(0).temperature.value, std::nullopt);
}

struct BadTrace {
  const char* name;
  const char* text;
  const char* where;    // file and key
  const char* problem;  // what the message explains
};

class TelemetryTraceRefuses : public ::testing::TestWithParam<BadTrace> {};

TEST_P(TelemetryTraceRefuses, NamingLineAndColumn) {
  try {
    parse_telemetry_trace(GetParam().text, "bad.csv");
    FAIL() << "no error";
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), HasSubstr(GetParam().where));
    EXPECT_THAT(e.what(), HasSubstr(GetParam().problem));
  }
}

INSTANTIATE_TEST_SUITE_P(
    BadRows, TelemetryTraceRefuses,
    ::testing::Values(
        BadTrace{"Word", "t_s,power_w\n0,1\n1,hot\n", "bad.csv: line 3, column power_w", "'hot'"},
        BadTrace{"Nan", "t_s,power_w\n0,nan\n", "line 2, column power_w", "not a finite number"},
        BadTrace{"Infinity", "t_s,power_w\n0,inf\n", "line 2, column power_w",
                 "not a finite number"},
        BadTrace{"Trailing", "t_s,power_w\n0,12W\n", "line 2, column power_w", "'12W'"},
        BadTrace{"Negative", "t_s,power_w\n0,-5\n", "line 2, column power_w", "outside"},
        BadTrace{"Percent", "t_s,util_gpu_pct\n0,101\n", "line 2, column util_gpu_pct", "outside"},
        BadTrace{"Reasons", "t_s,throttle_reasons\n0,1.5\n", "column throttle_reasons", "whole"},
        BadTrace{"NoTime", "t_s,power_w\n,5\n", "line 2, column t_s", "not a finite number"},
        BadTrace{"TimeStands", "t_s,power_w\n1,5\n1,6\n", "line 3, column t_s", "times must grow"},
        BadTrace{"CutShort", "t_s,power_w,temp_gpu_c\n0,5,50\n1,6\n", "line 3",
                 "ends after 2 cells"},
        BadTrace{"TooLong", "t_s,power_w\n0,5,6\n", "line 2", "3 cells"},
        BadTrace{"BlankLine", "t_s,power_w\n0,5\n\n1,6\n", "line 3", "1 cells"},
        BadTrace{"NoTimeColumn", "time,power_w\n0,5\n", "line 1", "no column t_s"},
        BadTrace{"NoSensor", "t_s,watts\n0,5\n", "line 1", "known: power_w"},
        BadTrace{"Twice", "t_s,power_w,power_w\n0,5,6\n", "line 1", "there twice"},
        BadTrace{"OneGpuTwice", "t_s,gpu,power_w\n0,1,5\n0,1,5\n", "line 3, column t_s",
                 "same device"},
        BadTrace{"OneHostTwice", "t_s,host,host_power_w\n0,a,5\n0,a,5\n", "line 3, column t_s",
                 "same device"},
        BadTrace{"TimeFalls", "t_s,gpu,power_w\n1,0,5\n0,1,5\n", "line 3, column t_s",
                 "times must grow"},
        BadTrace{"GpuAndHost", "t_s,gpu,host,power_w\n0,0,cpu,5\n", "line 2, column host",
                 "not to both"},
        BadTrace{"NoGpu", "t_s,gpu,power_w\n0,,5\n", "line 2, column gpu", "is empty"},
        BadTrace{"HalfAGpu", "t_s,gpu,power_w\n0,0.5,5\n", "line 2, column gpu", "whole"},
        BadTrace{"OpenQuote", "t_s,name,power_w\n0,\"a,5\n", "line 2", "quote"},
        BadTrace{"Empty", "", "bad.csv", "empty file"},
        BadTrace{"HeaderOnly", "t_s,power_w\n", "bad.csv", "no rows"}),
    [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace thermoe
