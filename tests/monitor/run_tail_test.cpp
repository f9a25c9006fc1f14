// SPDX-License-Identifier: Apache-2.0
#include "monitor/run_tail.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;
using State = RunView::State;

constexpr const char* kConfig =
    R"({"schema": 1, "simulated": true, "experiment": {"name": "demo", "duration_s": 240.0,
        "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]}})";
constexpr const char* kHeader =
    "strategy,time_s,simulated,power_instant_w,power_average_w,temperature_c,power_age_s,"
    "power_unchanged_s,active_experts,lambda,predicted_power_w,power_target_w,violation,fallback\n";

std::string row(const std::string& strategy, double time, double power,
                const std::string& fallback = "") {
  return strategy + "," + std::to_string(time) + ",1," + std::to_string(power) +
         ",345,55,0,0,49.5,"
         "0.25,348,350,0," +
         fallback + "\n";
}

class RunTailTest : public ::testing::Test {
 protected:
  RunTailTest() {
    std::string pattern = ::testing::TempDir() + "run_tail_XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~RunTailTest() override { std::filesystem::remove_all(folder_); }

  void write(const std::string& name, const std::string& text) const {
    std::ofstream(folder_ + "/" + name) << text;
  }
  void append(const std::string& text) const {
    std::ofstream(folder_ + "/metrics.csv", std::ios::app) << text;
  }

  std::string folder_{};
};

TEST_F(RunTailTest, WaitsForTheFilesOneAfterTheOther) {
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().state, State::kWaiting);
  EXPECT_THAT(tail.view().waiting_for, HasSubstr("config.json"));
  write("config.json", kConfig);
  tail.update(Seconds(1));
  EXPECT_THAT(tail.view().waiting_for, HasSubstr("metrics.csv"));
  append("strategy,time");
  tail.update(Seconds(2));
  EXPECT_EQ(tail.view().state, State::kWaiting);
  std::filesystem::remove(folder_ + "/metrics.csv");
  append(kHeader);
  tail.update(Seconds(3));
  EXPECT_EQ(tail.view().state, State::kWaiting);
  append(row("BASELINE", 0.1, 460));
  tail.update(Seconds(4));
  EXPECT_EQ(tail.view().state, State::kRunning);
}

TEST_F(RunTailTest, ShowsTheNewestRow) {
  write("config.json", kConfig);
  append(kHeader + row("BASELINE", 0.1, 460) + row("KERNEL_AWARE_TTHA", 0.1, 340) +
         row("KERNEL_AWARE_TTHA", 0.2, 341, "\"stale, for long\""));
  RunTail tail(folder_);
  tail.update(Seconds(0));
  const RunView& run = tail.view();
  EXPECT_EQ(run.experiment, "demo");
  EXPECT_TRUE(run.simulated);
  EXPECT_EQ(run.strategy, "KERNEL_AWARE_TTHA");
  EXPECT_EQ(run.strategy_number, 2);
  EXPECT_EQ(run.strategies, 2);
  EXPECT_EQ(run.at, Seconds(0.2));
  EXPECT_EQ(run.duration, Seconds(240));
  EXPECT_EQ(run.lambda, 0.25);
  EXPECT_EQ(run.active_experts, 49.5);
  EXPECT_EQ(run.power_target, Watts(350));
  EXPECT_EQ(run.power_sensor, Watts(345));
  EXPECT_EQ(run.power_predicted, Watts(348));
  EXPECT_EQ(run.fallback, "stale, for long");
  EXPECT_EQ(run.lambda_series.samples().size(), 2U);  // of this strategy only
  ASSERT_TRUE(tail.gpu());
  EXPECT_EQ(tail.gpu()->reading.power_instant.value, Watts(341));
  EXPECT_EQ(tail.gpu()->reading.temperature.value, Celsius(55));
  EXPECT_EQ(tail.gpu()->reading.sm_clock.value, std::nullopt);
  EXPECT_EQ(tail.gpu()->cap, Watts(350));
  EXPECT_EQ(tail.gpu()->power.samples().size(), 2U);
}

TEST_F(RunTailTest, OfSeveralRoundsNoStrategyIsCountedAsIfThereWereOne) {
  std::string config = kConfig;
  config.insert(config.find("\"duration_s\""), "\"rounds\": 3, ");
  write("config.json", config);
  append(kHeader + row("BASELINE", 0.1, 460));
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().rounds, 3);
  EXPECT_EQ(tail.view().strategy_number, 0);
  append(row("KERNEL_AWARE_TTHA #2", 0.1, 340));
  tail.update(Seconds(1));
  EXPECT_EQ(tail.view().strategy, "KERNEL_AWARE_TTHA #2");
  EXPECT_EQ(tail.view().strategy_number, 0);
}

TEST_F(RunTailTest, ByteOrderMarkBlankLinesAndCarriageReturnsDoNotCount) {
  write("config.json", kConfig);
  std::string lines = kHeader + ("\n" + row("BASELINE", 0.1, 460));
  for (std::size_t at = 0; (at = lines.find('\n', at)) != std::string::npos; at += 2) {
    lines.replace(at, 1, "\r\n");
  }
  append("\xEF\xBB\xBF" + lines);
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().strategy, "BASELINE");
  EXPECT_EQ(tail.view().fallback, "");
  EXPECT_EQ(tail.gpu()->reading.power_instant.value, Watts(460));
}

TEST_F(RunTailTest, ATornLineIsReadWhenItIsWhole) {
  write("config.json", kConfig);
  const std::string next = row("BASELINE", 0.2, 470);
  append(kHeader + row("BASELINE", 0.1, 460) + next.substr(0, 20));
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().at, Seconds(0.1));
  append(next.substr(20));
  tail.update(Seconds(1));
  EXPECT_EQ(tail.view().at, Seconds(0.2));
  EXPECT_EQ(tail.gpu()->reading.power_instant.value, Watts(470));
}

TEST_F(RunTailTest, ALineThatCannotBeReadIsPassedOver) {
  write("config.json", kConfig);
  append(kHeader + row("BASELINE", 0.1, 460) + "BASELINE,0.2,1,99\n\"open,quote\n" +
         row("BASELINE", 0.3, 480));
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().at, Seconds(0.3));
  EXPECT_EQ(tail.gpu()->power.samples().size(), 2U);
}

TEST_F(RunTailTest, OfALongFileTheEndIsEnough) {
  write("config.json", kConfig);
  std::string text = kHeader;
  for (int i = 1; i <= 30'000; ++i) text += row("BASELINE", 0.1 * i, 460);
  append(text);
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().at, Seconds(3000));
  EXPECT_EQ(tail.gpu()->power.samples().front().at, Seconds(2940));
}

TEST_F(RunTailTest, AFileThatWasReplacedIsReadAnew) {
  write("config.json", kConfig);
  append(kHeader + row("KERNEL_AWARE_TTHA", 5, 460) + row("KERNEL_AWARE_TTHA", 6, 460));
  RunTail tail(folder_);
  tail.update(Seconds(0));
  write("metrics.csv", kHeader + row("BASELINE", 0.1, 111));
  tail.update(Seconds(1));
  EXPECT_EQ(tail.view().strategy, "BASELINE");
  EXPECT_EQ(tail.view().strategy_number, 1);
  EXPECT_EQ(tail.gpu()->reading.power_instant.value, Watts(111));
}

TEST_F(RunTailTest, KnowsTheEndAndNoticesSilence) {
  write("config.json", kConfig);
  append(kHeader + row("BASELINE", 0.1, 460));
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.view().quiet_for, std::nullopt);
  tail.update(Seconds(10));
  EXPECT_EQ(tail.view().quiet_for, Seconds(10));
  write("summary.json", R"({"device": "simulated H100"})");
  tail.update(Seconds(11));
  EXPECT_EQ(tail.view().state, State::kFinished);
  EXPECT_EQ(tail.view().quiet_for, std::nullopt);
  EXPECT_EQ(tail.gpu()->reading.name, "simulated H100");
}

TEST_F(RunTailTest, ADropoutOfTheSensorsIsAbsentWithItsAge) {
  write("config.json", kConfig);
  append(std::string(kHeader) + "BASELINE,10,1,,,,2.5,3,49.5,0.25,348,350,0,\n");
  RunTail tail(folder_);
  tail.update(Seconds(0));
  EXPECT_EQ(tail.gpu()->reading.power_instant.value, std::nullopt);
  EXPECT_EQ(tail.gpu()->reading.power_instant.age(tail.gpu()->now), Seconds(2.5));
}

TEST_F(RunTailTest, AFolderThatIsNoRunIsRefused) {
  EXPECT_THROW(RunTail(folder_ + "/no/such"), UsageError);
  EXPECT_NO_THROW(RunTail(folder_ + "/about-to-be-made"));
  write("letter.txt", "hello");
  EXPECT_THROW(RunTail(std::string(folder_)), UsageError);
  EXPECT_THROW(RunTail(folder_ + "/letter.txt"), UsageError);
}

TEST_F(RunTailTest, AMetricsFileOfAnotherKindIsNamed) {
  write("config.json", kConfig);
  append("a,b\n1,2\n");
  RunTail tail(folder_);
  try {
    tail.update(Seconds(0));
    FAIL() << "no error";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("metrics.csv: line 1: no column strategy"));
  }
}

}  // namespace
}  // namespace thermoe
