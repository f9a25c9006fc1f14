// SPDX-License-Identifier: Apache-2.0
#include "measure/run_figures.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "measure/measure_json.h"
#include "measure/measure_words.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::Optional;

DeviceMeasurement device(const std::string& name, double joules, double seconds) {
  return {.name = name,
          .energy = {.joules = Joules(joules), .covered = Seconds(seconds)},
          .mean_power = Watts(joules / seconds),
          .peak_power = Watts(2.0 * joules / seconds),
          .mean_temperature = Celsius(50.0),
          .max_temperature = Celsius(55.0)};
}

/// Two GPUs, a package and its memory for ten seconds, 1000 tokens.
RunMeasurement run_of(double gpu_joules) {
  RunMeasurement run{.duration = Seconds(12.0), .exit_code = 0};
  run.window = WindowMeasurement{.duration = Seconds(10.0)};
  run.window->gpus = {device("H100", gpu_joules, 10.0), device("H100", 2000.0, 10.0)};
  run.window->gpus[1].index = 1;
  run.window->host = {device("RAPL package-0", 800.0, 10.0),
                      device("RAPL package-0 core", 600.0, 10.0),
                      device("RAPL package-0 dram", 200.0, 10.0)};
  run.units = UnitCount{.count = 1000.0, .basis = "--units"};
  return run;
}

MeasureRequest tokens() {
  return {.command = {"bench", "--x"}, .units = {.name = "token", .count = 1000.0}};
}

nlohmann::json json_of(const MeasureRequest& request, const MeasureOutcome& outcome) {
  return nlohmann::json::parse(measure_json(request, outcome));
}

TEST(RunFigures, AUnitCostsTheGpusJoulesAndWithTheHostsMore) {
  const RunFigures figures = run_figures(run_of(3000.0), std::nullopt);
  EXPECT_THAT(figures.gpu_joules_per_unit, Optional(5.0));
  EXPECT_THAT(figures.joules_per_unit, Optional(6.0));
  EXPECT_THAT(figures.units_per_second, Optional(100.0));
}

TEST(RunFigures, WhatIdleWouldHaveTakenIsTakenOff) {
  WindowMeasurement idle{.duration = Seconds(5.0)};
  idle.gpus = {device("H100", 500.0, 5.0), device("H100", 500.0, 5.0)};
  idle.host = {device("RAPL package-0", 100.0, 5.0), device("RAPL package-0 dram", 50.0, 5.0)};
  const RunFigures figures = run_figures(run_of(3000.0), idle);
  EXPECT_NEAR(figures.gpu_above_idle.value().value, 5000.0 - 200.0 * 10.0, 1e-9);
  EXPECT_NEAR(figures.above_idle.value().value, 6000.0 - 230.0 * 10.0, 1e-9);
}

TEST(RunFigures, ARunWithoutAFigureLeavesNoSpread) {
  EXPECT_FALSE(spread({}));
  EXPECT_FALSE(spread({1.0, std::nullopt}));
  const auto odd = spread({3.0, 1.0, 2.0});
  ASSERT_TRUE(odd);
  EXPECT_DOUBLE_EQ(odd->median, 2.0);
  EXPECT_DOUBLE_EQ(odd->min, 1.0);
  EXPECT_DOUBLE_EQ(odd->max, 3.0);
  EXPECT_DOUBLE_EQ(spread({4.0, 1.0}).value().median, 2.5);
}

TEST(MeasureJson, HasTheNamesOfMlEnergyAndZeus) {
  const auto json = json_of(tokens(), {.source = "NVML + host", .runs = {run_of(3000.0)}});
  EXPECT_EQ(json["unit"], "token");
  EXPECT_EQ(json["duration"], 12.0);
  EXPECT_EQ(json["steady_state_duration"], 10.0);
  EXPECT_EQ(json["steady_state_energy"], 5000.0);
  EXPECT_EQ(json["steady_state_energy_per_token"], 5.0);
  EXPECT_EQ(json["energy_per_token_joules"], 5.0);
  EXPECT_EQ(json["total_energy_per_token_joules"], 6.0);
  EXPECT_EQ(json["total_output_tokens"], 1000.0);
  EXPECT_EQ(json["output_throughput"], 100.0);
  EXPECT_EQ(json["avg_power_watts"], 500.0);
  const auto& zeus = json["steady_state_measurement"];
  EXPECT_EQ(zeus["time"], 10.0);
  EXPECT_EQ(zeus["gpu_energy"], (nlohmann::json{{"0", 3000.0}, {"1", 2000.0}}));
  EXPECT_EQ(zeus["cpu_energy"], (nlohmann::json{{"0", 800.0}}));
  EXPECT_EQ(zeus["dram_energy"], (nlohmann::json{{"0", 200.0}}));
  EXPECT_EQ(json["total_energy_joules"], 6000.0);
  EXPECT_EQ(json["command"], (nlohmann::json{"bench", "--x"}));
  EXPECT_EQ(json["runs"][0]["gpus"][1]["peak_power_watts"], 400.0);
  EXPECT_EQ(json["runs"][0]["gpus"][0]["energy_basis"], "counter");
}

TEST(MeasureJson, NamesAnotherUnitAndNeverCallsItAToken) {
  MeasureRequest request = tokens();
  request.units.name = "image";
  const auto json = json_of(request, {.runs = {run_of(3000.0)}});
  EXPECT_EQ(json["energy_per_image_joules"], 5.0);
  EXPECT_EQ(json["total_images"], 1000.0);
  EXPECT_FALSE(json.contains("total_output_tokens"));
  EXPECT_FALSE(json.contains("steady_state_energy_per_token"));
}

TEST(MeasureJson, WhatIsAbsentIsNullWithTheReasonAndNeverZero) {
  RunMeasurement run = run_of(3000.0);
  run.window->gpus[1].energy = {.absent_because = "its energy counter fell"};
  run.window->gpus[1].mean_power.reset();
  run.window->host.clear();
  const auto json = json_of(tokens(), {.runs = {run}});
  EXPECT_TRUE(json["steady_state_energy"].is_null());
  EXPECT_TRUE(json["energy_per_token_joules"].is_null());
  EXPECT_TRUE(json["steady_state_measurement"]["gpu_energy"]["1"].is_null());
  EXPECT_TRUE(json["steady_state_measurement"]["cpu_energy"].is_null());
  EXPECT_EQ(json["runs"][0]["gpus"][1]["energy_absent_because"], "its energy counter fell");
  EXPECT_EQ(json["runs"][0]["total_energy_absent_because"], "GPU 1: its energy counter fell");
}

TEST(MeasureJson, OfSeveralRunsGivesMediansAndTheirSpread) {
  const auto json = json_of(tokens(), {.runs = {run_of(3000.0), run_of(1000.0), run_of(2000.0)}});
  EXPECT_EQ(json["steady_state_energy"], 4000.0);
  EXPECT_EQ(json["spread"]["steady_state_energy"],
            (nlohmann::json{{"median", 4000.0}, {"min", 3000.0}, {"max", 5000.0}}));
  EXPECT_EQ(json["runs"].size(), 3u);
}

TEST(MeasureJson, BytesThatAreNoUtf8DoNotBreakIt) {
  MeasureRequest request = tokens();
  request.command = {"\xff\xfe"};
  EXPECT_NO_THROW(json_of(request, {.runs = {run_of(3000.0)}}));
}

TEST(MeasureWords, SayTheFiguresTheirBasisAndWhatIsMissing) {
  RunMeasurement run = run_of(3000.0);
  run.window->gpus[1].energy.basis = EnergyBasis::kIntegratedPower;
  const std::string words = measure_words(
      tokens(), {.source = "NVML + host", .runs = {run}, .problems = {"host: \x1b[31mred"}});
  EXPECT_THAT(words,
              AllOf(HasSubstr("3000.0 J"), HasSubstr("counter"), HasSubstr("integrated power"),
                    HasSubstr("2 GPUs, 1 CPU package, 1 DRAM"),
                    HasSubstr("5 J/token of the GPUs, 6 J/token in all")));
  EXPECT_THAT(words, AllOf(HasSubstr("12.00 s (10.00 s measured)"),
                           HasSubstr("Not measured: host: "), Not(HasSubstr("\x1b"))));
}

TEST(MeasureWords, AShortWindowIsCalledShort) {
  RunMeasurement run = run_of(3000.0);
  EXPECT_THAT(measure_words(tokens(), {.runs = {run}}), Not(HasSubstr("short")));
  run.window->duration = Seconds(1.0);
  EXPECT_THAT(measure_words(tokens(), {.runs = {run}}), HasSubstr("may be 10 % here"));
}

TEST(MeasureWords, TellTheSpreadOfSeveralRuns) {
  const std::string words =
      measure_words(tokens(), {.runs = {run_of(3000.0), run_of(1000.0), run_of(2000.0)}});
  EXPECT_THAT(words, AllOf(HasSubstr("3 runs"), HasSubstr("run 2: 12.00 s, exit code 0, 4000.0 J"),
                           HasSubstr("median"), HasSubstr("J/token of the GPUs")));
}

TEST(MeasureSpread, LeavesOutARunThatFailed) {
  RunMeasurement failed = run_of(100.0);
  failed.exit_code = 9;
  const MeasureOutcome outcome{.runs = {run_of(3000.0), run_of(1000.0), failed}};
  const auto json = json_of(tokens(), outcome);
  EXPECT_EQ(json["spread"]["steady_state_energy"],
            (nlohmann::json{{"median", 4000.0}, {"min", 3000.0}, {"max", 5000.0}}));
  EXPECT_EQ(json["runs"].size(), 3u);
  EXPECT_THAT(measure_words(tokens(), outcome),
              AllOf(HasSubstr("run 3: 12.00 s, exit code 9"),
                    HasSubstr("The spread is that of the 2 runs that went well."),
                    Not(HasSubstr("  100.0"))));
  EXPECT_THAT(measure_words(tokens(), {.runs = {failed, failed}}),
              AllOf(HasSubstr("No run went well"), Not(HasSubstr("median"))));
  EXPECT_TRUE(json_of(tokens(), {.runs = {failed, failed}})["steady_state_energy"].is_null());
}

}  // namespace
}  // namespace thermoe
