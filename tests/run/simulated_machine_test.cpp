// SPDX-License-Identifier: Apache-2.0
// What an experiment says of its machine moves what the machine truly does, and what is counted of
// it: each number here comes from the experiment, not from what the program printed once.
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "experiment_fixture.h"

namespace thermoe {
namespace {

class MachineOfAnExperiment : public RunExperiment {
 protected:
  /// BASELINE, which looks at no sensor, for a few seconds without a tenant.
  RunResult baseline(const std::string& changes) {
    nlohmann::json json = parse_json(
        R"({"duration_s": 3, "disturbances": null, "strategies": ["BASELINE"]})", "baseline");
    json.merge_patch(parse_json(changes, "changes"));
    return run(experiment(json.dump()));
  }
  Watts baseline_power(const std::string& changes) {
    return named(baseline(changes), "BASELINE").mean_power;
  }

  Watts idle_ = load_inputs(experiment()).gpu.idle_active;
};

TEST_F(MachineOfAnExperiment, AnEnergyScaleScalesEveryTrueWattAboveIdle) {
  const Watts plain = baseline_power("{}") - idle_;
  ASSERT_GT(plain, Watts(200));
  for (const double scale : {0.85, 1.15}) {
    const Watts scaled =
        baseline_power(fmt::format(R"({{"plant": {{"energy_scale": {}}}}})", scale));
    EXPECT_NEAR((scaled - idle_) / plain, scale, 1e-9);
  }
}

TEST_F(MachineOfAnExperiment, AnIdleOffsetIsAddedToEveryTrueWatt) {
  const Watts plain = baseline_power("{}");
  EXPECT_NEAR((baseline_power(R"({"plant": {"idle_offset_w": 20}})") - plain).value, 20, 1e-9);
  EXPECT_NEAR((baseline_power(R"({"plant": {"idle_offset_w": -20}})") - plain).value, -20, 1e-9);
}

TEST_F(MachineOfAnExperiment, ASensorDelayMovesWhatSensorsSayAndSoWhatControlDoes) {
  baseline("{}");  // the plant file's 0.1 s
  const std::vector<double> truth = column("BASELINE", Metric::kPower);
  const std::vector<double> prompt = column("BASELINE", Metric::kSensedEnergy);
  baseline(R"({"plant": {"sensor_delay_s": 0.3}})");
  EXPECT_EQ(column("BASELINE", Metric::kPower), truth) << "BASELINE looks at no sensor";
  const std::vector<double> late = column("BASELINE", Metric::kSensedEnergy);
  ASSERT_EQ(late.size(), prompt.size());
  for (std::size_t i = 2; i < late.size(); ++i) EXPECT_EQ(late[i], prompt[i - 2]) << i;
  EXPECT_GT(late.back(), late[late.size() - 2]);

  const std::string ttha = R"({"strategies": ["KERNEL_AWARE_TTHA"]})";
  baseline(ttha);
  const std::vector<double> held = column("KERNEL_AWARE_TTHA", Metric::kPower);
  nlohmann::json delayed = parse_json(ttha, "");
  delayed["plant"]["sensor_delay_s"] = 0.5;
  baseline(delayed.dump());
  EXPECT_NE(column("KERNEL_AWARE_TTHA", Metric::kPower), held);
}

TEST_F(MachineOfAnExperiment, TokensAreStepsTimesTheBatchAndJoulesATokenWattsOverTokens) {
  const RunResult result = baseline(R"({"duration_s": 8})");
  const StrategySummary& s = named(result, "BASELINE");
  EXPECT_NEAR(s.tokens_per_second, 1000, 5) << "the rate that the experiment asks for";
  EXPECT_NEAR(s.joules_per_token.value(), s.mean_power.value / s.tokens_per_second, 1e-9);
  const std::vector<double> steps = column("BASELINE", Metric::kSteps);
  const std::vector<double> tokens = column("BASELINE", Metric::kTokens);
  for (std::size_t i = 0; i < steps.size(); ++i) EXPECT_NEAR(tokens[i], 16 * steps[i], 1e-4);
}

TEST_F(MachineOfAnExperiment, SeveralDecodeStepsATickAreChargedAsTheirMean) {
  const StrategySummary one = named(baseline("{}"), "BASELINE");
  const StrategySummary four = named(baseline(R"({"decode_steps_per_tick": 4})"), "BASELINE");
  EXPECT_NEAR(*four.p50_step / *one.p50_step, 1.0, 0.05);
  EXPECT_NEAR(four.mean_power / one.mean_power, 1.0, 0.05);
}

TEST_F(MachineOfAnExperiment, TheControllerHearsOfEveryDecodeStepOfATick) {
  // With the plant's own costs and no tenant the model of what ran is the truth but for its fit,
  // which is within 0.07 ms here. D of one step instead of four would be off by more.
  baseline(R"({"strategies": ["KERNEL_AWARE_TTHA"], "decode_steps_per_tick": 4,
               "plant": {"cost_model": "data/h100/kernel_cost_model.json"}})");
  for (const double milliseconds : column("KERNEL_AWARE_TTHA", Metric::kStepResidual)) {
    EXPECT_NEAR(milliseconds, 0.0, 0.1);
  }
}

TEST_F(MachineOfAnExperiment, WhatSettlesOnlyAfterTheTenantHasLeftHasNotSettled) {
  // The tenant is gone before 5 s within the band could pass.
  const auto ttha = [&](int leaves) {
    const RunResult result = run(experiment(fmt::format(
        R"({{"duration_s": 20, "strategies": ["KERNEL_AWARE_TTHA"], "disturbances": [
            {{"kind": "background", "from_s": 6, "to_s": {}, "power_w": 60,
              "bandwidth_share": 0.15}}]}})",
        leaves)));
    return named(result, "KERNEL_AWARE_TTHA").targets[0].settling;
  };
  EXPECT_FALSE(ttha(10).has_value());
  EXPECT_TRUE(ttha(20).has_value()) << "where it stays, there is something to settle to";
}

TEST_F(MachineOfAnExperiment, TicksBeyondTheProfiledTableAreCounted) {
  EXPECT_EQ(named(baseline("{}"), "BASELINE").extrapolated_share, 0.0);
  const RunResult beyond = baseline(R"({"batch": 100, "duration_s": 1})");  // the table ends at 64
  EXPECT_EQ(named(beyond, "BASELINE").extrapolated_share, 1.0);
  EXPECT_THAT(notes(beyond.summary), testing::Contains(testing::HasSubstr("extrapolated")));
}

/// Keeps what its controller was told.
class Listener final : public Controller {
 public:
  Listener(std::unique_ptr<Controller> inner, std::vector<StepCost>& told)
      : inner_(std::move(inner)), told_(told) {}
  Decision decide(const Observation& observation) override {
    told_.push_back(observation.costs);
    return inner_->decide(observation);
  }
  const ControllerState& state() const override { return inner_->state(); }

 private:
  std::unique_ptr<Controller> inner_;
  std::vector<StepCost>& told_;
};

TEST_F(MachineOfAnExperiment, TheControllersCostsArePerturbedByWhatSensorsSay) {
  nlohmann::json costs =
      read_json_file(std::string(THERMOE_SOURCE_DIR) + "/data/h100/kernel_cost_model.json");
  costs["perturbation"] = {{"thermal", {{"reference_c", 45}, {"energy_per_c", 0.02}}}};
  const std::string file = folder_ + "/costs.json";
  std::ofstream(file) << costs;
  std::vector<StepCost> told;
  make_controller_ = [&](const ControllerConfig& config) {
    return std::make_unique<Listener>(controller_without_adapter(config), told);
  };
  baseline(fmt::format(R"({{"cost_model": "{}"}})", file));
  const std::vector<double> degrees = column("BASELINE", Metric::kSensedTemperature);
  ASSERT_EQ(told.size(), degrees.size());
  const auto layer = [](const StepCost& costs) {
    return costs.layer(std::vector<std::int32_t>(128, 1)).energy;
  };
  // Decided at the start of a tick, on what the row before was told.
  const auto factor = [](double celsius) { return 1 + 0.02 * (celsius - 45); };
  EXPECT_GT(degrees.back(), degrees.front() + 4);
  for (std::size_t i = 2; i < told.size(); ++i) {
    EXPECT_NEAR(layer(told[i]) / layer(told[1]), factor(degrees[i - 1]) / factor(degrees[0]), 1e-6)
        << i;
  }
}

}  // namespace
}  // namespace thermoe
