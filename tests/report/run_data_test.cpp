// SPDX-License-Identifier: Apache-2.0
// Folders of runs: whole, killed, damaged, missing.
#include "report/run_data.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/errors.h"
#include "core/json_file.h"
#include "report/summarise.h"
#include "sample_run.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

class RunFolder : public testing::Test {
 protected:
  ~RunFolder() override { std::filesystem::remove_all(folder_); }

  void replace(const std::string& file, const std::string& from, const std::string& to) const {
    std::stringstream content;
    content << std::ifstream(folder_ + "/" + file).rdbuf();
    std::string text = content.str();
    const std::size_t at = text.find(from);
    ASSERT_NE(at, std::string::npos) << from;
    std::ofstream(folder_ + "/" + file) << text.replace(at, from.size(), to);
  }
  template <class ErrorType>
  std::string error() const {
    try {
      read_run(folder_);
    } catch (const ErrorType& error) {
      return error.what();
    }
    return "no such error";
  }

  std::string folder_ =
      (std::filesystem::temp_directory_path() / fmt::format("run_data.{}", ::getpid())).string();
};

TEST_F(RunFolder, AWholeRunIsReadBackAsItWasWritten) {
  write_sample_run(folder_, {.ticks = 100});
  const RunData run = read_run(folder_ + "/");
  EXPECT_FALSE(run.interrupted);
  EXPECT_EQ(run.name, "sample");
  ASSERT_EQ(run.summary.strategies.size(), 3U);
  const StrategySummary& ttha = run.summary.strategies[2];
  EXPECT_EQ(ttha.name, "KERNEL_AWARE_TTHA");
  ASSERT_EQ(ttha.targets.size(), 1U);
  EXPECT_EQ(ttha.targets[0].target, 350);
  EXPECT_EQ(ttha.targets[0].violation_fraction, 0);
  EXPECT_NEAR(*ttha.baseline_bits_per_byte, 1.43, 1e-9);
  ASSERT_TRUE(run.ticks);
  EXPECT_EQ(run.ticks->strategies[1].count(), 100U);
  EXPECT_EQ(run.ticks->targets.power, Watts(350));
  ASSERT_EQ(run.disturbances.size(), 1U);
  EXPECT_EQ(run.disturbances[0].words,
            "another tenant takes 60 W and 15 % of the memory bandwidth");
  ASSERT_EQ(run.usage.size(), 3U);
  EXPECT_EQ(run.usage[0].timeline.layers(), 3U);
  ASSERT_EQ(run.bias.size(), 3U);
  EXPECT_GT(run.bias[2].timeline.sum(1, 9, 2), 0.0);
  EXPECT_EQ(run.bias[0].timeline.sum(1, 9, 2), 0.0);
}

TEST_F(RunFolder, ARealRunMayLackTicksAndValuesAndIsNotSimulated) {
  write_sample_run(folder_, {.ticks = 100, .real = true});
  const RunData run = read_run(folder_);
  EXPECT_FALSE(run.summary.simulated);
  EXPECT_EQ(run.ticks->strategies[2].count(), 99U);
  EXPECT_THAT(run.notes, testing::Each(testing::Not(HasSubstr("rows are missing"))));
  const StrategySummary& baseline = run.summary.strategies[0];
  EXPECT_NEAR(baseline.energy_share, 0.9, 1e-9) << "from details.json";
  EXPECT_GT(baseline.mean_power, Watts(400));
  nlohmann::json summary = read_json_file(folder_ + "/summary.json");
  summary["strategies"][0]["mean_power_w"] = nullptr;
  std::ofstream(folder_ + "/summary.json") << summary;
  std::filesystem::remove(folder_ + "/details.json");
  EXPECT_EQ(read_run(folder_).summary.strategies[0].energy_share, 0.0);
}

TEST_F(RunFolder, TheEndOfARealRunIsMissed) {
  write_sample_run(folder_, {.ticks = 100, .real = true});
  std::stringstream kept;
  std::ifstream csv(folder_ + "/metrics.csv");
  int rows = 0;
  for (std::string line; std::getline(csv, line);) {
    if (!line.starts_with("STATIC_OPTIMAL,") || ++rows <= 40) kept << line << '\n';
  }
  std::ofstream(folder_ + "/metrics.csv") << kept.str();
  EXPECT_THAT(read_run(folder_).notes,
              testing::Contains(HasSubstr("metrics.csv ends 4.0 s into STATIC_OPTIMAL, others go "
                                          "on to 10.0 s: rows are missing")));
}

TEST_F(RunFolder, ATenantIsToldByItsFractionWhereTheExperimentGivesThat) {
  write_sample_run(folder_, {.ticks = 100});
  replace("config.json", "\"power_w\": 60", "\"power_fraction\": 0.2");
  EXPECT_EQ(read_run(folder_).disturbances[0].words,
            "another tenant takes 20 % of the watts between idle and limit and 15 % of the memory "
            "bandwidth");
}

TEST_F(RunFolder, MetricsThatAnotherProgramSavedWithAByteOrderMarkAreRead) {
  write_sample_run(folder_, {.ticks = 100});
  replace("metrics.csv", "strategy,", "\xEF\xBB\xBFstrategy, ");
  const RunData run = read_run(folder_);
  ASSERT_TRUE(run.ticks);
  EXPECT_EQ(run.ticks->strategies[1].count(), 100U);
}

TEST_F(RunFolder, AKilledRunIsReadUpToItsTornLineAndSummedUp) {
  write_sample_run(folder_, {.ticks = 100, .killed = true});
  const RunData run = read_run(folder_);
  EXPECT_TRUE(run.interrupted);
  EXPECT_TRUE(run.ticks->torn);
  EXPECT_EQ(run.ticks->strategies[2].count(), 99U);
  EXPECT_THAT(run.notes, testing::Contains(HasSubstr("cut short")));
  ASSERT_EQ(run.summary.strategies.size(), 3U);
  EXPECT_EQ(run.summary.seed, 7U);
  EXPECT_EQ(run.summary.device, "simulated test GPU");
}

TEST_F(RunFolder, ASeedThatIsNoneIsNotTakenForOne) {
  write_sample_run(folder_, {.ticks = 20, .killed = true});
  std::ofstream(folder_ + "/config.json") << R"({"experiment": {"seed": 9007199254740993}})";
  EXPECT_EQ(read_run(folder_).summary.seed, 9007199254740993U);
  for (const char* seed : {"1e300", "-1", "1.5"}) {
    std::ofstream(folder_ + "/config.json")
        << fmt::format(R"({{"experiment": {{"seed": {}}}}})", seed);
    EXPECT_EQ(read_run(folder_).summary.seed, 0U) << seed;
  }
}

TEST_F(RunFolder, ATickThatEndsBeforeItBeganIsRefused) {
  for (const std::string time : {"0", "-1", "5e-324", "nan", ""}) {
    write_sample_run(folder_, {.ticks = 20, .killed = true});
    replace("metrics.csv", "BASELINE,0.1,", "BASELINE," + time + ",");
    EXPECT_THAT(error<FormatError>(), HasSubstr("line 2, column time_s: is ")) << time;
  }
}

TEST_F(RunFolder, EveryTurnOfEveryRoundIsPlanned) {
  write_sample_run(folder_, {.ticks = 20});
  EXPECT_THAT(read_run(folder_).planned,
              testing::ElementsAre("BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA"));
  replace("config.json", "\"strategies\"", "\"rounds\": 2, \"strategies\"");
  EXPECT_THAT(read_run(folder_).planned,
              testing::ElementsAre("BASELINE", "STATIC_OPTIMAL", "KERNEL_AWARE_TTHA", "BASELINE #2",
                                   "STATIC_OPTIMAL #2", "KERNEL_AWARE_TTHA #2"));
}

TEST_F(RunFolder, FiguresFromTheTicksAreThoseOfTheSummary) {
  write_sample_run(folder_, {.ticks = 100});
  const RunData run = read_run(folder_);
  for (std::size_t i = 0; i < 3; ++i) {
    const StrategySummary& written = run.summary.strategies[i];
    const StrategySummary made =
        summarise(run.ticks->strategies[i], {.targets = run.ticks->targets, .tick = Seconds(0.1)});
    EXPECT_NEAR(made.mean_power.value, written.mean_power.value, 1e-3);
    EXPECT_NEAR(made.joules_per_token.value(), written.joules_per_token.value(), 1e-6);
    EXPECT_NEAR(made.tokens_per_second, written.tokens_per_second, 1e-6);
    EXPECT_NEAR(made.p99_step->value, written.p99_step->value, 1e-8);
    EXPECT_NEAR(*made.bits_per_byte, *written.bits_per_byte, 1e-6);
    ASSERT_EQ(made.targets.size(), 1U);
    EXPECT_NEAR(made.targets[0].violation_fraction, written.targets[0].violation_fraction, 1e-9);
    EXPECT_NEAR(made.targets[0].highest, written.targets[0].highest, 1e-3);
  }
}

TEST_F(RunFolder, AFolderThatIsNoneOrHoldsNoRunIsRefused) {
  EXPECT_THAT(error<UsageError>(), HasSubstr("there is no such folder"));
  std::filesystem::create_directories(folder_);
  EXPECT_THAT(error<UsageError>(), HasSubstr("neither summary.json nor metrics.csv"));
  EXPECT_THROW(read_run("/dev/null"), UsageError);
}

TEST_F(RunFolder, FilesOfAWholeRunThatWereCutAreSaidToBe) {
  write_sample_run(folder_, {.ticks = 100});
  for (const char* file : {"metrics.csv", "expert_usage.csv"}) {
    const std::string path = folder_ + "/" + file;
    std::filesystem::resize_file(path, std::filesystem::file_size(path) - 200);
  }
  const RunData run = read_run(folder_);
  EXPECT_FALSE(run.interrupted);
  EXPECT_THAT(run.notes, testing::Contains(HasSubstr("metrics.csv was cut short")));
  EXPECT_THAT(run.notes, testing::Contains(HasSubstr("expert_usage.csv was cut short")));
  EXPECT_THAT(run.notes, testing::Contains(HasSubstr("ticks of KERNEL_AWARE_TTHA")));
}

TEST_F(RunFolder, AMissingColumnAndANonNumberAreNamed) {
  write_sample_run(folder_, {.ticks = 10});
  replace("metrics.csv", "power_true_1s_w", "power_w");
  EXPECT_THAT(error<FormatError>(),
              HasSubstr("metrics.csv: line 1: has no column power_true_1s_w"));
  replace("metrics.csv", "power_w", "power_true_1s_w");
  replace("metrics.csv", "BASELINE,0.1,1,480,", "BASELINE,0.1,1,48O,");
  EXPECT_THAT(error<FormatError>(),
              HasSubstr("metrics.csv: line 2, column power_true_w: \"48O\" is not a number"));
}

TEST_F(RunFolder, ARunKilledBeforeItsFirstTickIsSaidToHoldNone) {
  write_sample_run(folder_, {.ticks = 10, .killed = true});
  std::ofstream(folder_ + "/metrics.csv") << "";
  EXPECT_THAT(error<FormatError>(), HasSubstr("no header"));
  write_sample_run(folder_, {.ticks = 10, .killed = true});
  std::stringstream head;
  head << std::ifstream(folder_ + "/metrics.csv").rdbuf();
  std::ofstream(folder_ + "/metrics.csv") << head.str().substr(0, head.str().find('\n') + 8);
  EXPECT_THAT(error<FormatError>(), HasSubstr("no complete row"));
}

TEST_F(RunFolder, ADamagedSummaryIsNamedByFileAndKey) {
  write_sample_run(folder_, {.ticks = 10});
  replace("summary.json", "\"schema\": 1", "\"schema\": 9");
  EXPECT_THAT(error<FormatError>(), HasSubstr("summary.json: /schema: is 9"));
  replace("summary.json", "\"schema\": 9", "\"schema\": 1");
  replace("summary.json", "\"joules_per_token\"", "\"joules\"");
  EXPECT_THAT(error<FormatError>(),
              HasSubstr("summary.json: /strategies/0/joules_per_token: is missing"));
}

TEST_F(RunFolder, FilesOfAnOlderRunMayBeMissing) {
  write_sample_run(folder_, {.ticks = 10});
  for (const char* file : {"config.json", "details.json", "expert_usage.csv", "expert_bias.csv"}) {
    std::filesystem::remove(folder_ + "/" + file);
  }
  RunData run = read_run(folder_);
  EXPECT_TRUE(run.usage.empty());
  EXPECT_TRUE(run.bias.empty());
  EXPECT_EQ(run.name, std::filesystem::path(folder_).filename());
  EXPECT_THAT(run.notes, testing::Contains(HasSubstr("no config.json")));
  ASSERT_EQ(run.summary.strategies[0].targets.size(), 1U) << "of summary.json itself";
  std::filesystem::remove(folder_ + "/metrics.csv");
  run = read_run(folder_);
  EXPECT_FALSE(run.ticks);
  EXPECT_THAT(run.notes, testing::Contains(HasSubstr("no metrics.csv")));
}

}  // namespace
}  // namespace thermoe
