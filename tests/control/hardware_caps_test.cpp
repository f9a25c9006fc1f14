// SPDX-License-Identifier: Apache-2.0
#include "control/hardware_caps.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

#include "core/errors.h"
#include "price_certificate.h"
#include "random_price_problem.h"

namespace thermoe {
namespace {

using testing::random_scores;
using testing::Shape;
using testing::use_of;

constexpr int kLayers = 2, kTokens = 60, kExperts = 12, kK = 3;

CostCurve curve_of(double scale) {
  const auto cost = [scale](double us, double mj) {
    return Cost{Seconds(scale * us * 1e-6), Joules(scale * mj * 1e-3), Celsius(0.0)};
  };
  return CostCurve({{1.0, cost(100, 20)}, {10.0, cost(140, 40)}, {40.0, cost(320, 160)}});
}

/// Two precisions, with slopes that grow with the load.
HardwareSetting setting_of(int devices) {
  HardwareSetting s{.costs = {.layer_repeat = 3.0,
                              .layer_constant = {Seconds(1e-5), Joules(1e-3), Celsius(0.0)},
                              .variants = {curve_of(1.0), curve_of(0.4)},
                              .active_idle = Watts(130.0)},
                    .layers = kLayers,
                    .experts = kExperts,
                    .devices = devices,
                    .period = Seconds(0.02),
                    .thermal = FirstOrderThermal{}};
  for (int cell = 0; cell < kLayers * kExperts; ++cell) s.variant.push_back(cell % 3 == 0 ? 1 : 0);
  return s;
}

std::vector<double> random_loads(std::uint32_t seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> load(1.0, 50.0);
  std::vector<double> loads(kLayers * kExperts);
  for (double& n : loads) n = load(random);
  return loads;
}

TEST(HardwareCaps, CostWhatIsPredicted) {
  for (const int devices : {1, 4}) {
    for (const CurveRange range : {CurveRange::kProfiled, CurveRange::kFromOrigin}) {
      HardwareSetting s = setting_of(devices);
      s.range = range;
      s.steps = 2;
      s.targets = {.power = Watts(400.0), .step_time = Seconds(0.01)};
      set_residuals(s, random_loads(1));
      const HardwareCaps caps = hardware_caps(s);
      ASSERT_EQ(caps.resources.size(), static_cast<std::size_t>(devices) + 1);
      const std::vector<double> loads = random_loads(2);
      const PredictedStep step = predict(s, loads, CostShape::kEnvelope);
      std::vector<double> of_both_steps = loads;
      for (double& n : of_both_steps) n *= s.steps;
      const std::vector<double> use = use_of(
          {.layers = kLayers, .experts = kExperts, .resources = caps.resources}, of_both_steps);
      for (int d = 0; d < devices; ++d) {
        EXPECT_EQ(caps.names[d].name, "energy");
        EXPECT_EQ(caps.names[d].device, d);
        EXPECT_DOUBLE_EQ(caps.resources[d].cap, (400.0 - 130.0) * 0.02);
        EXPECT_NEAR(use[d], step.energy[d].value, 1e-12);
      }
      EXPECT_NEAR(use.back(), step.latency.value, 1e-12);
    }
  }
}

TEST(HardwareCaps, ResidualsMakeUpForWhatTheEnvelopesMiss) {
  HardwareSetting s = setting_of(4);
  s.range = CurveRange::kFromOrigin;
  const std::vector<double> loads = random_loads(3);
  EXPECT_LT(predict(s, loads, CostShape::kEnvelope).latency,
            predict(s, loads, CostShape::kAsProfiled).latency);
  set_residuals(s, loads);
  const PredictedStep curves = predict(s, loads, CostShape::kAsProfiled);
  const PredictedStep envelopes = predict(s, loads, CostShape::kEnvelope);
  EXPECT_NEAR(curves.latency.value, envelopes.latency.value, 1e-15);
  for (std::size_t d = 0; d < 4; ++d)
    EXPECT_NEAR(curves.energy[d].value, envelopes.energy[d].value, 1e-14);
}

TEST(HardwareCaps, TheTighterOfPowerAndTemperatureIsHeld) {
  HardwareSetting s = setting_of(1);
  s.targets = {.power = Watts(400.0), .temperature = Celsius(25.0 + 0.05 * 300.0)};
  EXPECT_NEAR(hardware_caps(s).resources[0].cap, (300.0 - 130.0) * 0.02, 1e-12);
  s.targets.temperature = Celsius(25.0 + 0.05 * 500.0);
  EXPECT_NEAR(hardware_caps(s).resources[0].cap, (400.0 - 130.0) * 0.02, 1e-12);
}

TEST(HardwareCaps, AStepUnderAPowerCapEndsWithinItsPeriod) {
  HardwareSetting s = setting_of(1);
  s.targets.power = Watts(400.0);
  EXPECT_DOUBLE_EQ(hardware_caps(s).resources.back().cap, 0.02);
  s.targets.step_time = Seconds(0.005);
  EXPECT_DOUBLE_EQ(hardware_caps(s).resources.back().cap, 0.005);
  s.targets = {.step_time = Seconds(0.5)};
  EXPECT_DOUBLE_EQ(hardware_caps(s).resources.back().cap, 0.5);
}

TEST(HardwareCaps, RefuseWhatNoRoutingHolds) {
  const auto refusal = [](const HardwareSetting& s) -> std::string {
    try {
      hardware_caps(s);
    } catch (const UsageError& e) {
      return e.what();
    }
    return "";
  };
  HardwareSetting s = setting_of(1);
  s.targets = {.power = Watts(130.0)};
  EXPECT_THAT(refusal(s), ::testing::HasSubstr("130 W without any work; give more"));
  s.targets = {.temperature = Celsius(31.5)};
  EXPECT_THAT(refusal(s), ::testing::HasSubstr("31.5 C without any work; give more"));
  s.thermal.reset();
  EXPECT_THAT(refusal(s), ::testing::HasSubstr("no /thermal"));
  s.targets = {.power = Watts(300.0)};
  EXPECT_EQ(refusal(s), "");
  s.period = Seconds(0.0);
  EXPECT_THAT(refusal(s), ::testing::HasSubstr("needs a token rate"));
}

/// All three targets at once, each below what plain routing takes, by as much as `share`.
TEST(HardwareCaps, PowerTemperatureAndStepTimeAreHeldTogether) {
  for (const int devices : {1, 2, 4}) {
    for (std::uint32_t seed = 1; seed <= 8; ++seed) {
      std::mt19937 random(seed);
      const std::vector<float> scores = random_scores(
          random, {.layers = kLayers, .tokens = kTokens, .experts = kExperts, .k = kK});
      HardwareSetting s = setting_of(devices);
      PriceProblem problem{.layers = kLayers,
                           .tokens = kTokens,
                           .experts = kExperts,
                           .k = kK,
                           .scores = scores,
                           .tau = 0.02};
      const PredictedStep plain =
          predict(s, testing::solve(problem, 1e-6).load, CostShape::kEnvelope);
      const double busiest = std::ranges::max(plain.power).value - 130.0;
      s.targets = {.power = Watts(130.0 + 0.93 * busiest),
                   .temperature = s.thermal->steady(Watts(130.0 + 0.9 * busiest)),
                   .step_time = Seconds(0.95 * plain.latency.value)};
      problem.resources = hardware_caps(s).resources;
      const ShadowPrices prices = testing::solve(problem, 1e-5);
      ASSERT_TRUE(prices.converged && prices.feasible()) << devices << " devices, seed " << seed;
      const PredictedStep step = predict(s, prices.load, CostShape::kEnvelope);
      EXPECT_LE(step.latency.value, s.targets.step_time->value * (1.0 + 1e-12));
      for (std::size_t d = 0; d < step.power.size(); ++d) {
        EXPECT_LE(step.power[d].value, s.targets.power->value * (1.0 + 1e-12));
        EXPECT_LE(step.temperature[d].value, s.targets.temperature->value * (1.0 + 1e-12));
      }
    }
  }
}

}  // namespace
}  // namespace thermoe
