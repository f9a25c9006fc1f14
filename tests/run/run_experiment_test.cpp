// SPDX-License-Identifier: Apache-2.0
#include "run/run_experiment.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>

#include "core/errors.h"
#include "experiment_fixture.h"

namespace thermoe {
namespace {

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double deviation(std::span<const double> values) {
  double squares = 0.0;
  for (const double value : values) squares += std::pow(value - mean(values), 2);
  return std::sqrt(squares / static_cast<double>(values.size()));
}

TEST_F(RunExperiment, AdaptationHoldsTheCapThatAStaticPlanBreaks) {
  const RunResult result = run(experiment());
  ASSERT_TRUE(result.complete);
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& fixed = named(result, "STATIC_OPTIMAL");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_GT(baseline.mean_power.value, 420);
  EXPECT_GT(baseline.targets[0].violation_fraction, 0.95);
  EXPECT_GT(ttha.mean_power.value, 0.95 * 350);
  EXPECT_LT(ttha.mean_power.value, 1.01 * 350);
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.03);
  ASSERT_TRUE(ttha.targets[0].settling.has_value());
  EXPECT_LE(ttha.targets[0].settling->value, 4.0);
  EXPECT_GT(fixed.targets[0].violation_fraction, 0.25) << "the tenant is there a third of the time";
  EXPECT_EQ(ttha.fallbacks, 0);
}

TEST_F(RunExperiment, ACapIsHeldOnAMachineThatLagsMoreThanTheControllerBelievesAndVaries) {
  // The controller passes its model through a sensor delay of 0.1 s and expects every step alike.
  const RunResult result = run(experiment(R"({"strategies": ["KERNEL_AWARE_TTHA"],
      "plant": {"sensor_delay_s": 0.3, "step_noise": 0.1}})"));
  const std::vector<double> steps = column("KERNEL_AWARE_TTHA", Metric::kStepTime);
  EXPECT_GT(deviation(std::span(steps).last(50)) / mean(std::span(steps).last(50)), 0.08)
      << "the noise is there";
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_GT(ttha.mean_power.value, 0.95 * 350);
  EXPECT_LT(ttha.mean_power.value, 1.02 * 350);
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.08) << "more than where belief and plant agree";
  EXPECT_EQ(ttha.fallbacks, 0);
}

TEST_F(RunExperiment, EveryStrategyDecodesTheSameBytesAndIsComparedWithBaseline) {
  const RunResult result = run(experiment(R"({"duration_s": 3, "disturbances": null})"));
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_NEAR(baseline.kl_to_baseline.value_or(1), 0.0, 1e-6);
  EXPECT_DOUBLE_EQ(*baseline.baseline_bits_per_byte, *baseline.bits_per_byte);
  EXPECT_NEAR(*ttha.baseline_bits_per_byte, *baseline.bits_per_byte, 1e-12);
  EXPECT_GT(ttha.kl_to_baseline.value_or(0), 0.0);
}

TEST_F(RunExperiment, ALossOfQualityHasAnIntervalOverTextThatASeedRepeats) {
  const std::string changes = R"({"duration_s": 20, "disturbances": null,
                                  "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})";
  const RunResult result = run(experiment(changes));
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  ASSERT_TRUE(baseline.loss_interval && ttha.loss_interval);
  EXPECT_NEAR(baseline.loss_interval->low, 0.0, 1e-9) << "against itself";
  EXPECT_NEAR(baseline.loss_interval->high, 0.0, 1e-9);
  EXPECT_LT(ttha.loss_interval->low, *ttha.loss_percent());
  EXPECT_GT(ttha.loss_interval->high, *ttha.loss_percent());
  const nlohmann::json written = read_json_file(folder_ + "/summary.json")["strategies"][1];
  EXPECT_EQ(written["quality_loss_interval_percent"],
            (nlohmann::json{ttha.loss_interval->low, ttha.loss_interval->high}));
  memory_ = {};
  EXPECT_EQ(to_json(run(experiment(changes)).summary), to_json(result.summary)) << "seeded";
  nlohmann::json alone = parse_json(changes, "");
  alone["strategies"] = {"KERNEL_AWARE_TTHA"};
  const RunResult of_its_own = run(experiment(alone.dump()));
  EXPECT_EQ(to_json(of_its_own.summary)["strategies"][0]["quality_loss_interval_percent"],
            written["quality_loss_interval_percent"])
      << "the same text, whoever decoded BASELINE";
}

TEST_F(RunExperiment, AStrategyAloneIsComparedWithABaselinePassOfItsOwn) {
  const RunResult all = run(experiment(R"({"duration_s": 3, "disturbances": null})"));
  const RunResult alone = run(experiment(
      R"({"duration_s": 3, "disturbances": null, "strategies": ["KERNEL_AWARE_TTHA"]})"));
  ASSERT_EQ(alone.summary.strategies.size(), 1U);
  const StrategySummary& a = named(all, "KERNEL_AWARE_TTHA");
  const StrategySummary& b = named(alone, "KERNEL_AWARE_TTHA");
  EXPECT_DOUBLE_EQ(*a.bits_per_byte, *b.bits_per_byte);
  EXPECT_DOUBLE_EQ(*a.kl_to_baseline, *b.kl_to_baseline);
  EXPECT_DOUBLE_EQ(a.mean_power.value, b.mean_power.value);
}

TEST_F(RunExperiment, TheFilesHoldEveryTickAndTheSummary) {
  const RunResult result = run(experiment(R"({"duration_s": 2, "disturbances": null})"));
  EXPECT_EQ(read_json_file(folder_ + "/summary.json"), to_json(result.summary));
  std::ifstream in(folder_ + "/metrics.csv");
  const auto lines = std::count(std::istreambuf_iterator<char>(in), {}, '\n');
  EXPECT_EQ(lines, 1 + 3 * 20);
}

TEST_F(RunExperiment, EveryStrategyHasItsOwnPeakOfMemoryOrNone) {
  const Experiment e = experiment(
      R"({"duration_s": 1, "disturbances": null, "strategies": ["BASELINE", "REDUCED_K"]})");
  const RunResult own = run(e);
  EXPECT_EQ(own.summary.strategies[0].peak_memory_bytes, 1000U);
  EXPECT_EQ(own.summary.strategies[1].peak_memory_bytes, 900U) << "not what BASELINE needed";
  memory_ = {.resets = false};
  const RunResult shared = run(e);
  EXPECT_EQ(shared.summary.strategies[1].peak_memory_bytes, std::nullopt)
      << "where the system cannot tell them apart";
}

TEST_F(RunExperiment, AStoppedRunLeavesItsTicksAndNoSummary) {
  notes_.stop = &stop_;
  notes_.stop_at = 32 + 25;  // the calibration's updates, then 25 ticks
  const RunResult result = run(experiment());
  EXPECT_FALSE(result.complete);
  EXPECT_FALSE(std::filesystem::exists(folder_ + "/summary.json"));
  std::ifstream in(folder_ + "/metrics.csv");
  EXPECT_EQ(std::count(std::istreambuf_iterator<char>(in), {}, '\n'), 1 + 25);
}

TEST_F(RunExperiment, SensorsFrozenFromTheStartLeaveTheStaticPlanThatHoldsTheCap) {
  const RunResult result = run(experiment(R"({"duration_s": 60, "disturbances": [
      {"kind": "sensor_freeze", "from_s": 0, "to_s": 60}],
      "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_EQ(ttha.fallbacks, 1);
  EXPECT_GT(ttha.fallback_share, 0.9);
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.05);
  const std::string said = "fell back to the calibrated static plan: the power reading is frozen";
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr(said)));
  EXPECT_THAT(notes(result.summary),
              testing::Contains(testing::HasSubstr("to the calibrated static plan: the power")));
}

TEST_F(RunExperiment, SensorFaultsOfEveryKindBreakTheCapAtMostATwentiethOfTheTime) {
  const Experiment e =
      quick(read_experiment(std::string(THERMOE_SOURCE_DIR) + "/experiments/sensor_faults.json"));
  const RunResult result = run(e);
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_EQ(ttha.fallbacks, 3);
  EXPECT_LE(ttha.targets[0].violation_fraction, 0.05);
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr("in control again")).Times(3));
}

TEST_F(RunExperiment, TheFallbackToBaselineCanBeAskedForAndIsSaid) {
  const RunResult result = run(experiment(R"({"duration_s": 10, "disturbances": [
      {"kind": "sensor_freeze", "from_s": 0, "to_s": 10}], "control": {"fallback": "baseline"},
      "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  EXPECT_GT(named(result, "KERNEL_AWARE_TTHA").fallback_share, 0.5);
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr("fell back to BASELINE")));
  EXPECT_THAT(notes(result.summary), testing::Contains(testing::HasSubstr("to BASELINE: the")));
}

TEST_F(RunExperiment, SensorsThatDropOutOrTurnNanAreSurvivedAndControlReturns) {
  const RunResult result = run(experiment(R"({"duration_s": 30, "disturbances": [
      {"kind": "sensor_dropout", "from_s": 5, "to_s": 9},
      {"kind": "sensor_nan", "from_s": 15, "to_s": 19}],
      "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_GE(ttha.fallbacks, 2);
  EXPECT_THAT(notes_.lines, testing::Contains(testing::HasSubstr("in control again")));
  EXPECT_NEAR(ttha.targets[0].steady, 350, 0.03 * 350) << "held again at the end";
}

TEST_F(RunExperiment, ACapOutOfReachIsSaidWithTheBestHeld) {
  const RunResult result =
      run(experiment(R"({"duration_s": 10, "disturbances": null, "targets": {"power_w": 140},
                         "control": {"max_quality_loss": 100},
                         "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"]})"));
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  ASSERT_TRUE(ttha.targets[0].best_held.has_value());
  EXPECT_GT(*ttha.targets[0].best_held, 140);
  EXPECT_LT(*ttha.targets[0].best_held, 350);
  EXPECT_THAT(notes(result.summary), testing::Contains(testing::HasSubstr("cannot be reached")));
}

TEST_F(RunExperiment, TheSensorsNoiseHasTheExperimentsSeed) {
  EXPECT_EQ(load_inputs(experiment(R"({"seed": 42})")).gpu.seed, 42U);
}

TEST_F(RunExperiment, AFullDiskStopsTheRunAndNamesTheFile) {
  std::filesystem::create_symlink("/dev/full", folder_ + "/expert_usage.csv");
  try {
    run(experiment());
    FAIL();
  } catch (const WriteError& error) {
    EXPECT_THAT(error.what(), testing::HasSubstr("expert_usage.csv: cannot be written"));
  }
}

}  // namespace
}  // namespace thermoe
