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
  ReplaySource source(read_telemetry_trace(kTrace), Seconds(0));
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
  ReplaySource source(read_telemetry_trace(kTrace), Seconds(1000.0));
  EXPECT_EQ(source.read(Seconds(999.9)).gpus.at(0).power_average.value, Watts(481.086));
  EXPECT_EQ(source.read(Seconds(1000.0)).gpus.at(0).power_average.value, Watts(481.086));
}

TEST(ReplaySource, PlaysFromTheFirstRowOn) {
  const TemporaryFile file("t_s,power_w\n500,10\n501.5,20\n");
  ReplaySource source(read_telemetry_trace(file.path()), Seconds(0));
  EXPECT_EQ(source.length(), Seconds(1.5));
  EXPECT_EQ(source.read(Seconds(0)).gpus.at(0).power_average.value, Watts(10));
  EXPECT_EQ(source.read(Seconds(0)).gpus.at(0).name, "replay of " + file.path());
  EXPECT_EQ(source.read(Seconds(1.5)).gpus.at(0).power_average.value, Watts(20));
}

TEST(ReplaySource, ASimulatedRecordingStaysSimulated) {
  const TemporaryFile file("t_s,simulated,power_w\n0,0,10\n1,1,20\n");
  ReplaySource source(read_telemetry_trace(file.path()), Seconds(0));
  EXPECT_TRUE(source.simulated());
  EXPECT_FALSE(source.read(Seconds(0)).simulated);
  EXPECT_TRUE(source.read(Seconds(1)).simulated);
}

TEST(ReplaySource, SaysWhenTheRecordingHasEnded) {
  ReplaySource source(read_telemetry_trace(kTrace), Seconds(0));
  EXPECT_NO_THROW(source.read(Seconds(109.997)));
  EXPECT_THROW(source.read(Seconds(110.5)), TelemetryError);
}

TEST(ReplaySource, AMissingFileIsNamed) {
  try {
    read_telemetry_trace("/nowhere/trace.csv");
    FAIL() << "no error";
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), HasSubstr("/nowhere/trace.csv"));
  }
}

TEST(TelemetryTrace, ColumnsComeByNameInAnyOrderAndUnknownOnesAreIgnored) {
  const auto rows =
      parse_telemetry_trace("note,power_w,t_s\r\nhello,120.5,1\r\n,121,2\r\n", "x.csv").snapshots;
  ASSERT_EQ(rows.size(), 2U);
  EXPECT_EQ(rows[1].at, Seconds(2.0));
  EXPECT_EQ(rows[0].gpus.at(0).power_average.value, Watts(120.5));
}

TEST(TelemetryTrace, RowsOfOneTimeAreTheGpusOfOneSnapshot) {
  const auto rows =
      parse_telemetry_trace("t_s,gpu,name,power_w\n0,1,\"H100, left\",11\n0,0,A,10\n1,0,A,20\n",
                            "x.csv")
          .snapshots;
  ASSERT_EQ(rows.size(), 2U);
  ASSERT_EQ(rows[0].gpus.size(), 2U);
  EXPECT_EQ(rows[0].gpus[0].power_average.value, Watts(10));
  EXPECT_EQ(rows[0].gpus[1].name, "H100, left");
  EXPECT_EQ(rows[1].gpus.size(), 1U);
}

TEST(TelemetryTrace, AHighIndexTakesNoMoreMemoryThanALowOne) {
  const auto rows =
      parse_telemetry_trace("t_s,gpu,power_w\n0,1023,10\n1,1023,20\n", "x.csv").snapshots;
  ASSERT_EQ(rows.at(0).gpus.size(), 1U);
  EXPECT_EQ(rows[0].gpus[0].index, 1023U);
}

TEST(ReplaySource, HostSensorsAndGpusRecordedAtOtherTimesAreShownTogether) {
  ReplaySource source(
      parse_telemetry_trace(
          "t_s,gpu,power_w,host,host_power_w\n0,0,10,,\n0.5,,,RAPL package-0,95\n1,0,20,,\n",
          "x.csv"),
      Seconds(0));
  EXPECT_TRUE(source.read(Seconds(0)).host.empty());
  EXPECT_EQ(source.read(Seconds(0.5)).gpus.at(0).power_average.value, Watts(10));
  const Snapshot last = source.read(Seconds(1));
  EXPECT_EQ(last.gpus.at(0).power_average.value, Watts(20));
  EXPECT_EQ(last.host.at(0).name, "RAPL package-0");
  EXPECT_EQ(last.host.at(0).power.value, Watts(95));
}

TEST(TelemetryTrace, ALastLineThatWasTornIsLeftOut) {
  const auto trace =
      parse_telemetry_trace("t_s,power_w,temp_gpu_c\n0,5,50\n1,6", "torn.csv").snapshots;
  ASSERT_EQ(trace.size(), 1U);
  EXPECT_EQ(trace[0].gpus[0].power_average.value, Watts(5));
  // A whole line may lack its line break: not every tool writes one.
  EXPECT_EQ(parse_telemetry_trace("t_s,power_w\n0,5\n1,6", "whole.csv").snapshots.size(), 2U);
}

TEST(TelemetryTrace, AnEmptyCellIsAnAbsentReading) {
  const auto rows =
      parse_telemetry_trace("t_s,power_w,temp_gpu_c\n0,,51\n1,200,\n", "x.csv").snapshots;
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
    BadFiles, TelemetryTraceRefuses,
    ::testing::Values(
        BadTrace{"NoTime", "t_s,power_w\n,5\n", "line 2: column t_s", "not a finite number"},
        BadTrace{"TimeStands", "t_s,power_w\n1,5\n1,6\n", "line 3, column t_s", "times must grow"},
        BadTrace{"TooLong", "t_s,power_w\n0,5,6\n", "line 2", "3 cells"},
        BadTrace{"NoTimeColumn", "time,power_w\n0,5\n", "line 1", "no column t_s"},
        BadTrace{"NearTime", "T_S,power_w\n0,5\n", "line 1", "is 'T_S' meant to be it?"},
        BadTrace{"NoSensor", "t_s,watts\n0,5\n", "line 1", "known: power_w"},
        BadTrace{"NearSensor", "t_s,Power W\n0,5\n", "line 1",
                 "'Power W' is ignored; is 'power_w'"},
        BadTrace{"Twice", "t_s,power_w,power_w\n0,5,6\n", "line 1", "there twice"},
        BadTrace{"OneGpuTwice", "t_s,gpu,power_w\n0,1,5\n0,1,5\n", "line 3, column t_s", "GPU 1"},
        BadTrace{"OneHostTwice", "t_s,host,host_power_w\n0,a,5\n0,a,5\n", "line 3, column t_s",
                 "row before of a"},
        BadTrace{"TimeFalls", "t_s,gpu,power_w\n1,0,5\n0,1,5\n", "line 3, column t_s",
                 "time falls from 1 to 0: two recordings"},
        BadTrace{"HeaderAgain", "t_s,power_w\n0,5\nt_s,power_w\n0,5\n", "line 3",
                 "two recordings in one file. Split it: head -n 2 FILE"},
        BadTrace{"GpuAndHost", "t_s,gpu,host,power_w\n0,0,cpu,5\n", "line 2: column host",
                 "not to both"},
        BadTrace{"NoGpu", "t_s,gpu,power_w\n0,,5\n", "line 2: column gpu", "whole"},
        BadTrace{"HalfAGpu", "t_s,gpu,power_w\n0,0.5,5\n", "line 2: column gpu", "whole"},
        BadTrace{"Semicolons", "t_s;power_w\n0,5;100,5\n", "line 1", "tr ',;' '.,'"},
        BadTrace{"Tabs", "t_s\tpower_w\n0\t100\n", "line 1", "separated by tabs"},
        BadTrace{"Utf16", "\xFF\xFEt", "bad.csv", "header"},
        BadTrace{"Empty", "", "bad.csv", "no header"},
        BadTrace{"HeaderOnly", "t_s,power_w\n", "bad.csv", "no rows"}),
    [](const auto& info) { return info.param.name; });

struct BadCell {
  const char* name;
  const char* text;   // the second row's temperature is to be 51 °C
  const char* where;  // what is left out
  const char* problem;
};

class TelemetryTraceLeavesOut : public ::testing::TestWithParam<BadCell> {};

TEST_P(TelemetryTraceLeavesOut, OnlyWhatIsBadAndSaysSo) {
  const TelemetryTrace trace = parse_telemetry_trace(GetParam().text, "bad.csv");
  ASSERT_THAT(trace.problems, ::testing::Contains(::testing::AllOf(HasSubstr(GetParam().where),
                                                                   HasSubstr(GetParam().problem))));
  const GpuReading& last = trace.snapshots.back().gpus.at(0);
  EXPECT_EQ(last.temperature.value, Celsius(51.0));
  EXPECT_EQ(last.power_average.value, std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(
    BadRows, TelemetryTraceLeavesOut,
    ::testing::Values(
        BadCell{"Word", "t_s,power_w,temp_gpu_c\n0,1,50\n1,hot,51\n", "line 3, column power_w",
                "'hot'"},
        BadCell{"Nan", "t_s,power_w,temp_gpu_c\n0,nan,51\n", "line 2, column power_w",
                "not a finite number"},
        BadCell{"Infinity", "t_s,power_w,temp_gpu_c\n0,inf,51\n", "line 2, column power_w",
                "not a finite number"},
        BadCell{"Trailing", "t_s,power_w,temp_gpu_c\n0,12W,51\n", "line 2, column power_w",
                "'12W'"},
        BadCell{"Negative", "t_s,power_w,temp_gpu_c\n0,-5,51\n", "line 2, column power_w",
                "outside"},
        BadCell{"Percent", "t_s,util_gpu_pct,temp_gpu_c\n0,101,51\n", "column util_gpu_pct",
                "outside"},
        BadCell{"Reasons", "t_s,throttle_reasons,temp_gpu_c\n0,1.5,51\n", "column throttle_reasons",
                "whole"},
        BadCell{"CutShort", "t_s,power_w,temp_gpu_c\n0,,51\n1,6\n", "line 3", "has 2 cells"},
        BadCell{"OpenQuote", "t_s,name,temp_gpu_c\n0,a,51\n1,\"b,52\n", "last line", "torn"},
        BadCell{"NoTime", "t_s,power_w,temp_gpu_c\n0,,51\n,5,52\n", "line 3: column t_s",
                "not a finite number"},
        BadCell{"NearMiss", "t_s,temp_gpu_c,Power_W\n0,51,100\n", "line 1",
                "'Power_W' is ignored; is 'power_w' meant?"}),
    [](const auto& info) { return info.param.name; });

TEST(TelemetryTrace, ManyBadCellsOfAColumnAreOneSentence) {
  std::string text = "t_s,host,host_temp_c\n";
  for (int i = 0; i < 66; ++i) text += std::to_string(i) + ",nvme,-273.15\n";
  const TelemetryTrace trace = parse_telemetry_trace(text, "x.csv");
  EXPECT_EQ(trace.snapshots.size(), 66U);
  EXPECT_THAT(trace.problems,
              ::testing::ElementsAre(
                  "line 2, column host_temp_c: -273.15 lies outside [-100, 300]; the cell is left "
                  "out, as 65 more of its kind"));
  // A replay says it beside its readings.
  ReplaySource source(trace, Seconds(0));
  EXPECT_EQ(source.read(Seconds(0)).problems, trace.problems);
}

TEST(TelemetryTrace, ByteOrderMarksBlankLinesCommentsAndBlanksDoNotCount) {
  const auto trace = parse_telemetry_trace(
      "\xEF\xBB\xBF# of node7\nt_s, power_w ,temp_gpu_c\r\n\r\n0, 100.5 ,50\n\n  \n1,101.5, \"51\" "
      "\n\n",
      "x.csv");
  EXPECT_TRUE(trace.problems.empty());
  ASSERT_EQ(trace.snapshots.size(), 2U);
  EXPECT_EQ(trace.snapshots[0].gpus.at(0).power_average.value, Watts(100.5));
  EXPECT_EQ(trace.snapshots[1].gpus.at(0).temperature.value, Celsius(51));
}

TEST(TelemetryTrace, AnEnergyCounterThatFallsInAnOldRecordingIsAGap) {
  const auto rows =
      parse_telemetry_trace("t_s,energy_j\n0,5000\n1,5100\n2,7\n3,\n", "x.csv").snapshots;
  EXPECT_EQ(rows.at(1).gpus.at(0).energy_gaps, 0U);
  EXPECT_EQ(rows.at(2).gpus.at(0).energy_gaps, 1U);
  EXPECT_EQ(rows.at(3).gpus.at(0).energy_gaps, 1U);
}

TEST(TelemetryTrace, MemoryIsBoundedByTheFileHoweverManyDevicesASnapshotShows) {
  std::string text = "t_s,gpu,power_w,host,host_power_w\n";
  for (int g = 0; g < 500; ++g) text += "0," + std::to_string(g) + ",100,,\n";
  for (int i = 1; i <= 2000; ++i) text += std::to_string(i) + ",,,RAPL,50\n";
  const TelemetryTrace trace = parse_telemetry_trace(text, "x.csv");
  std::size_t held = 0;
  for (const Snapshot& snapshot : trace.snapshots) {
    held += snapshot.gpus.size() + snapshot.host.size();
  }
  EXPECT_EQ(held, 2500U);  // a row each, not 500 GPUs a snapshot
  ReplaySource source(trace, Seconds(0));
  EXPECT_EQ(source.read(Seconds(2000)).gpus.size(), 500U);
}

}  // namespace
}  // namespace thermoe
