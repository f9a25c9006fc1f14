// SPDX-License-Identifier: Apache-2.0
// The experiment loop where requests arrive.
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "core/csv_reader.h"
#include "core/errors.h"
#include "experiment_fixture.h"
#include "run/check_experiment.h"
#include "run/run_folder.h"
#include "run/trace_decoder.h"

namespace thermoe {
namespace {

using testing::HasSubstr;

class ServingRun : public RunExperiment {
 protected:
  static Experiment serving(const std::string& changes = "{}") {
    nlohmann::json json = parse_json(R"({
      "decoder": "trace", "trace": {"file": "data/traces/synthetic-e128-k8-b16.safetensors"},
      "strategies": ["BASELINE", "KERNEL_AWARE_TTHA"], "disturbances": null,
      "arrivals": {"kind": "poisson", "rate_per_s": 4, "tokens_out": 128},
      "engine": {"batch_limit": 32, "graph_sizes": [1, 2, 4, 8, 16, 24, 32, 40, 48, 56, 64]},
      "cost_model": "data/h100/vllm_cost_model.json",
      "plant": {"cost_model": "data/h100/vllm_cost_model.json"},
      "targets": {"power_w": null}, "calibration_samples": 16, "duration_s": 20})",
                                     "serving");
    json.merge_patch(parse_json(changes, "changes"));
    return experiment(json.dump());
  }

  RunResult serve(const Experiment& e) {
    const ExperimentInputs inputs = load_inputs(e);
    check_experiment(inputs);
    const auto decoder = trace_decoder(inputs);
    write_config(folder_, inputs);
    return run_on(inputs, *decoder, *decoder);
  }

  static std::string refusal(const Experiment& e) {
    try {
      check_experiment(load_inputs(e));
    } catch (const UsageError& error) {
      return error.what();
    }
    return "";
  }
};

TEST_F(ServingRun, EveryStrategyMeetsTheSameRequestsAndTokensAreCountedAsTheyAreGenerated) {
  const RunResult result = serve(serving());
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  ASSERT_TRUE(baseline.serving && ttha.serving);
  EXPECT_EQ(baseline.serving->arrived, ttha.serving->arrived);
  EXPECT_NEAR(baseline.serving->arrived, 80.0, 27.0) << "three standard deviations";
  const double asked = 128.0 * baseline.serving->arrived / 20.0;
  EXPECT_DOUBLE_EQ(baseline.serving->asked_tokens_per_second.value(), asked);
  EXPECT_NEAR(baseline.tokens_per_second, asked, 60.0) << "but for those under way at the end";
  EXPECT_GT(baseline.serving->batch, 2.0);
  EXPECT_GE(baseline.serving->rows, baseline.serving->batch);
  EXPECT_DOUBLE_EQ(*baseline.quality_loss, 0.0);
}

TEST_F(ServingRun, APeriodSavesWattsWithoutLossOfQuality) {
  const RunResult result = serve(serving(R"({"targets": {"time_between_tokens_ms": 24}})"));
  const StrategySummary& baseline = named(result, "BASELINE");
  const StrategySummary& ttha = named(result, "KERNEL_AWARE_TTHA");
  EXPECT_LT(ttha.mean_power.value, 0.9 * baseline.mean_power.value);
  EXPECT_LT(*ttha.quality_loss, 0.001) << "there is no cap to price for";
  EXPECT_GT(ttha.serving->between_tokens->mean, baseline.serving->between_tokens->mean);
  EXPECT_LT(ttha.serving->between_tokens->mean, Seconds(0.024));
  EXPECT_GT(ttha.serving->batch, 1.3 * baseline.serving->batch);
}

TEST_F(ServingRun, TheLargerBatchIsThatOfItsStrategyAlone) {
  const RunResult result = serve(serving(R"({"strategies": ["BASELINE", "LARGER_BATCH"],
                        "arrivals": {"rate_per_s": 40}, "duration_s": 10})"));
  EXPECT_NEAR(named(result, "BASELINE").serving->batch, 32.0, 3.0) << "more arrive than it serves";
  EXPECT_GT(named(result, "LARGER_BATCH").serving->batch, 45.0);
  EXPECT_GT(named(result, "BASELINE").serving->still_waiting, 10.0);
}

TEST_F(ServingRun, ATickWithoutAStepHasNoRouting) {
  // The first request comes after the first second.
  std::ofstream(folder_ + "/arrivals.csv") << "time,tokens_in,tokens_out\n1.5,8,16\n1.6,8,16\n";
  const Experiment e = serving(fmt::format(
      R"({{"arrivals": {{"kind": "recorded", "file": "{}/arrivals.csv", "rate_per_s": null,
           "tokens_out": null}}, "strategies": ["BASELINE"], "duration_s": 4}})",
      folder_));
  const RunResult result = serve(e);
  const StrategySummary& baseline = named(result, "BASELINE");
  EXPECT_EQ(baseline.serving->arrived, 2.0);
  EXPECT_EQ(baseline.serving->finished, 2.0);
  EXPECT_DOUBLE_EQ(baseline.serving->asked_tokens_per_second.value(), 8.0);
  CsvReader csv(folder_ + "/metrics.csv");
  int routed = 0, rows = 0;
  while (csv.next()) {
    ++rows;
    const auto active = csv.number(csv.need("active_experts"));
    EXPECT_EQ(active.has_value(), csv.number(csv.need("batch")).value() > 0.0) << rows;
    routed += active ? 1 : 0;
  }
  EXPECT_EQ(rows, 40);
  EXPECT_GT(routed, 0);
  EXPECT_LT(routed, 10);
}

TEST_F(ServingRun, ATraceOfTooFewTokensForTheEngineIsRefusedWithTheRemedy) {
  EXPECT_THAT(refusal(serving(R"({"engine": {"batch_limit": 1000}})")),
              testing::AllOf(HasSubstr("/engine/batch_limit: is 1000"), HasSubstr("960 tokens"),
                             HasSubstr("lower it")));
  EXPECT_EQ(refusal(serving()), "");
}

TEST_F(ServingRun, MoreRequestsThanARunCanKeepAreRefused) {
  EXPECT_THAT(refusal(serving(R"({"arrivals": {"rate_per_s": 90000}, "duration_s": 60})")),
              HasSubstr("/arrivals/rate_per_s: is 90000: 5.4e+06 requests in 60 s"));
}

TEST_F(ServingRun, StrategiesAndCapsThatFlagsAddAreHeldToTheSameRules) {
  Experiment e = experiment();
  e.strategies.push_back(Strategy::kLargerBatch);
  EXPECT_THAT(refusal(e), HasSubstr("/strategies/3: LARGER_BATCH is for an engine"));
  Experiment paced = serving();
  paced.targets.step_time = Seconds(0.009);
  EXPECT_THAT(refusal(paced), HasSubstr("/targets/step_ms: is 9"));
}

}  // namespace
}  // namespace thermoe
