// SPDX-License-Identifier: Apache-2.0
#include "control/price_options.h"

#include <gtest/gtest.h>

#include "control/calibration.h"
#include "core/errors.h"
#include "synthetic_router.h"

namespace thermoe {
namespace {

using testing::h100_like;
using testing::LogitSource;

constexpr int kLayers = 2, kTokens = 16, kExperts = 64, kK = 4;

ControllerConfig config_of(Seconds period = Seconds(0.016)) {
  ControllerConfig config{.layers = kLayers,
                          .router = {.experts = kExperts, .k = kK},
                          .step_period = period,
                          .costs = h100_like(kLayers)};
  LogitSource source(kLayers, kTokens, kExperts, 11);
  for (int i = 0; i < 4; ++i) config.calibration.push_back(source.next());
  return config;
}

TEST(ControlPriceOptions, BeginWithPlainTopKAndEndAtTheFloor) {
  const ControllerConfig config = config_of();
  const auto options = price_options(config, 6);
  const RoutingOption plain = fewer_expert_options(config).front();
  EXPECT_EQ(options.front().lambda, 0.0);
  EXPECT_EQ(plain.k, kK);
  EXPECT_DOUBLE_EQ(options.front().demand.active, plain.demand.active);
  EXPECT_NEAR(options.front().demand.kept_mass, 1.0, 1e-6);
  // k_min = 1 leaves each token its best expert: as many as plain top-1 activates.
  EXPECT_NEAR(options.back().demand.active, fewer_expert_options(config).back().demand.active,
              1e-9);
}

TEST(ControlPriceOptions, EachDearerPriceCostsLessAndKeepsLess) {
  const auto options = price_options(config_of(), 6);
  ASSERT_EQ(options.size(), 7U);
  for (std::size_t i = 1; i < options.size(); ++i) {
    EXPECT_GT(options[i].lambda, options[i - 1].lambda);
    EXPECT_LT(options[i].demand.active, options[i - 1].demand.active);
    EXPECT_LT(options[i].power, options[i - 1].power);
    EXPECT_LT(options[i].demand.kept_mass, options[i - 1].demand.kept_mass);
  }
}

TEST(ControlPriceOptions, PricingKeepsMoreThanFewerExpertsAtNoMorePower) {
  const ControllerConfig config = config_of();
  for (const RoutingOption& rival : fewer_expert_options(config)) {
    if (rival.k == kK || rival.k == 1) continue;
    ControllerConfig capped = config;
    capped.targets.power = rival.power;
    const Calibration chosen = calibrate(capped);
    EXPECT_TRUE(chosen.reached);
    EXPECT_GT(chosen.demand.kept_mass, rival.demand.kept_mass) << "k = " << rival.k;
  }
}

TEST(ControlPriceOptions, KeepingFewerAndFillingLiesBetweenPricingAndFewerExperts) {
  const ControllerConfig config = config_of();
  const auto rivals = opportunistic_options(config);
  const auto fewer = fewer_expert_options(config);
  ASSERT_EQ(rivals.size(), static_cast<std::size_t>(kK));
  EXPECT_NEAR(rivals.front().demand.kept_mass, 1.0, 1e-6);
  EXPECT_DOUBLE_EQ(rivals.front().demand.active, fewer.front().demand.active);
  for (std::size_t i = 0; i < rivals.size(); ++i) {
    EXPECT_EQ(rivals[i].k, kK);
    EXPECT_EQ(rivals[i].keep, fewer[i].k);
    // The same experts are active; each token fills up from them.
    EXPECT_DOUBLE_EQ(rivals[i].demand.active, fewer[i].demand.active);
    EXPECT_GE(rivals[i].demand.kept_mass, fewer[i].demand.kept_mass);
    if (i == 0 || i + 1 == rivals.size()) continue;
    ControllerConfig capped = config;
    capped.targets.power = rivals[i].power;
    EXPECT_GT(calibrate(capped).demand.kept_mass, rivals[i].demand.kept_mass);
  }
}

TEST(ControlPriceOptions, ASaturatedMachineStartsTheNextStepAtOnce) {
  const RoutingOption option = price_options(config_of(Seconds(0)), 2).front();
  EXPECT_EQ(option.period, option.demand.cost.latency);
  EXPECT_DOUBLE_EQ(option.power.value,
                   130.0 + option.demand.cost.energy.value / option.demand.cost.latency.value);
}

TEST(ControlPriceOptions, LevelsThatNoPriceTellsApartAreGivenOnce) {
  ControllerConfig config = config_of();
  config.k_min = kK;  // no expert may be dropped
  EXPECT_EQ(price_options(config, 8).size(), 1U);
}

TEST(ControlPriceOptions, NeedCalibrationSamples) {
  ControllerConfig config = config_of();
  config.calibration.clear();
  EXPECT_THROW(price_options(config, 8), PreconditionError);
  EXPECT_THROW(fewer_expert_options(config), PreconditionError);
  EXPECT_THROW(opportunistic_options(config), PreconditionError);
}

}  // namespace
}  // namespace thermoe
