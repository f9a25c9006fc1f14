// SPDX-License-Identifier: Apache-2.0
// What the project promises of the closed loop, on the shipped model and real text, in runs of 40
// s.
#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>

#include "control/controller_config.h"
#include "experiment_run.h"

namespace thermoe {
namespace {

/// Sentences beneath the table in one line each.
std::string unwrapped(std::string text) {
  for (std::size_t at = 0; (at = text.find("\n  ", at)) != std::string::npos;) {
    text.replace(at, 3, " ");
  }
  return text;
}

const std::string kTthaOnly = R"("strategies": ["KERNEL_AWARE_TTHA"], "kl_every": 0)";

class ClosedLoop : public ExperimentRun {
 protected:
  void expect_cap_held() const {
    const auto ttha = strategy("KERNEL_AWARE_TTHA");
    const double cap = ttha["power_target_w"];
    EXPECT_GE(ttha["mean_power_w"].get<double>(), 0.95 * cap);
    EXPECT_LE(ttha["mean_power_w"].get<double>(), 1.01 * cap);
    // 1.6 s, all of it when the tenant comes: its 60 W, unseen for 0.1 s and learned through 0.4 s,
    // keep the last second's mean above 1.05 times the cap for about a second, and as a step's
    // power scatters by some 14 W with what is written, for up to half a second more.
    EXPECT_LE(ttha["power_violation_fraction"].get<double>(), 0.04);
    ASSERT_FALSE(ttha["settling_time_s"].is_null());
    EXPECT_LE(ttha["settling_time_s"].get<double>(), 4.0);
    EXPECT_EQ(ttha["fallbacks"], 0);
  }
};

class ClosedLoopSeeds : public ClosedLoop, public testing::WithParamInterface<int> {};

TEST_P(ClosedLoopSeeds, TheCapIsHeldThroughTheTenant) {
  complete(demo("{" + kTthaOnly + "}"), {"--seed", std::to_string(GetParam())});
  expect_cap_held();
}

INSTANTIATE_TEST_SUITE_P(ThreeSeeds, ClosedLoopSeeds, testing::Values(1, 2, 3));

class ClosedLoopPlants : public ClosedLoop, public testing::WithParamInterface<const char*> {};

TEST_P(ClosedLoopPlants, TheCapIsHeldOnAMachineThatDiffersFromTheModel) {
  complete(demo("{" + kTthaOnly + R"(, "plant": )" + GetParam() + "}"));
  expect_cap_held();
}

INSTANTIATE_TEST_SUITE_P(Plants, ClosedLoopPlants,
                         testing::Values(R"({"energy_scale": 0.85})", R"({"energy_scale": 1.15})",
                                         R"({"idle_offset_w": -20})", R"({"idle_offset_w": 20})",
                                         R"({"sensor_delay_s": 0.2})"));

TEST_F(ClosedLoop, AStaticPlanHoldsTheCapBeforeTheTenantAndBreaksItAfter) {
  complete(demo(R"({"strategies": ["STATIC_OPTIMAL"], "kl_every": 0})"));
  const std::vector<double> power = column("STATIC_OPTIMAL", "power_true_1s_w");
  ASSERT_EQ(power.size(), 400U);
  EXPECT_LE(mean(power, 0, 120), 1.05 * 350);
  EXPECT_GE(mean(power, 0, 120), 0.90 * 350);
  EXPECT_GT(mean(power, 130, 240), 1.10 * 350);
}

TEST_F(ClosedLoop, AtTheSameWattsItCostsAtMostHalfTheQualityOfReducedK) {
  complete(demo(R"({"strategies": ["BASELINE", "KERNEL_AWARE_TTHA", "REDUCED_K"],
                    "duration_s": 60, "disturbances": null})"));
  const auto loss = [&](const std::string& name) {
    return strategy(name)["bits_per_byte"].get<double>() -
           details(name)["baseline_bits_per_byte"].get<double>();
  };
  EXPECT_NEAR(strategy("KERNEL_AWARE_TTHA")["mean_power_w"].get<double>(),
              strategy("REDUCED_K")["mean_power_w"].get<double>(), 0.01 * 350);
  EXPECT_GT(loss("REDUCED_K"), 0.0);
  EXPECT_LE(loss("KERNEL_AWARE_TTHA"), 0.5 * loss("REDUCED_K"));
}

TEST_F(ClosedLoop, FrozenTelemetryFromTheStartMeansTheStaticPlanAndIsSaid) {
  const ProcessResult result = run(demo("{" + kTthaOnly + R"(, "duration_s": 10, "disturbances": [
      {"kind": "sensor_freeze", "from_s": 0, "to_s": 10}]})"));
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, testing::HasSubstr("fell back to the calibrated static plan: the power"));
  EXPECT_THAT(unwrapped(result.out),
              testing::HasSubstr("to the calibrated static plan: the power"));
  EXPECT_GE(strategy("KERNEL_AWARE_TTHA")["fallbacks"].get<int>(), 1);
}

TEST_F(ClosedLoop, ATemperatureCapIsHeldWithinADegree) {
  complete(shipped("hold_temperature", R"({"strategies": ["BASELINE", "KERNEL_AWARE_TTHA"],
                                           "kl_every": 0, "duration_s": 100, "disturbances": [
      {"kind": "background", "from_s": 70, "to_s": 100, "power_w": 60, "bandwidth_share": 0.15}]})"));
  const double cap = details("KERNEL_AWARE_TTHA")["targets"][0]["value"];
  const std::vector<double> free = column("BASELINE", "temperature_true_c");
  const std::vector<double> held = column("KERNEL_AWARE_TTHA", "temperature_true_c");
  EXPECT_GT(mean(free, 600, 700), cap + 1) << "the cap binds";
  for (std::size_t i = 600; i < held.size(); ++i) EXPECT_NEAR(held[i], cap, 1.0) << i;
  EXPECT_LE(strategy("KERNEL_AWARE_TTHA")["max_temperature_c"].get<double>(), cap + 1);
}

TEST_F(ClosedLoop, AStepTimeCapIsHeldForNineteenTicksOfTwentyThroughTheTenant) {
  complete(shipped("hold_latency", R"({"strategies": ["BASELINE", "KERNEL_AWARE_TTHA"],
      "kl_every": 0, "duration_s": 40, "disturbances": [
      {"kind": "background", "from_s": 12, "to_s": 24, "power_w": 60, "bandwidth_share": 0.15}]})"));
  const auto target = details("KERNEL_AWARE_TTHA")["targets"][0];
  const double cap = target["value"];
  EXPECT_GT(strategy("BASELINE")["p50_step_ms"].get<double>(), cap);
  const std::vector<double> steps = column("KERNEL_AWARE_TTHA", "step_time_ms");
  for (const auto& [from, to] : {std::pair{50, 120}, {170, 240}, {290, 400}}) {
    std::vector<double> part(steps.begin() + from, steps.begin() + to);
    std::ranges::sort(part);
    EXPECT_NEAR(part[part.size() * 19 / 20], cap, 0.03 * cap) << "from tick " << from;
  }
  EXPECT_LE(target["violation_fraction"].get<double>(), 0.05);
}

TEST_F(ClosedLoop, TheAdapterAloneStaysNearItsCap) {
  complete(
      demo("{" + kTthaOnly + R"(, "control": {"mode": "adapter_only"}, "disturbances": null})"));
  const std::vector<double> power = column("KERNEL_AWARE_TTHA", "power_true_1s_w");
  ASSERT_EQ(power.size(), 400U);
  EXPECT_GE(mean(power, 100, 400), 0.91 * 350) << "it gives away more quality than the cap asks";
  EXPECT_LE(mean(power, 100, 400), 350);
}

TEST_F(ClosedLoop, TheAdapterAloneLowersItsLossAndMovesItsParameters) {
  // It starts as the static plan, which misses the cap on this machine. What that plan's loss would
  // be on the same text: missed watts and lost mass at least.
  complete(demo(R"({"strategies": ["STATIC_OPTIMAL", "KERNEL_AWARE_TTHA"], "kl_every": 0,
                    "control": {"mode": "adapter_only"}, "disturbances": null,
                    "plant": {"energy_scale": 1.15}})"));
  const double unlearned = mean(column("STATIC_OPTIMAL", "power_true_w"), 300, 400);
  ASSERT_GT(unlearned, 1.02 * 350);
  const double unlearned_loss = AdapterOptions().weight_power * std::pow(unlearned / 350 - 1.0, 2) +
                                mean(column("STATIC_OPTIMAL", "quality_loss_nats"), 300, 400);
  EXPECT_LT(mean(column("KERNEL_AWARE_TTHA", "loss_total"), 300, 400), 0.5 * unlearned_loss);
  EXPECT_LE(mean(column("KERNEL_AWARE_TTHA", "power_true_w"), 300, 400), 350);
  EXPECT_GT(column("KERNEL_AWARE_TTHA", "parameter_shift").back(), 0.0);
}

TEST_F(ClosedLoop, ACapOutOfReachIsSaidWithTheBestHeld) {
  const ProcessResult result =
      run(demo("{" + kTthaOnly + R"(, "duration_s": 10, "disturbances": null,
                "control": {"max_quality_loss": 100}})"),
          {"--power-cap", "140"});
  ASSERT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(unwrapped(result.out),
              testing::HasSubstr("cannot be reached by routing; the best held was"));
}

}  // namespace
}  // namespace thermoe
