// SPDX-License-Identifier: Apache-2.0
#include "control/adapter_limits.h"

#include <gtest/gtest.h>

#include <cmath>

#include "loop_fixture.h"

namespace thermoe {
namespace {

ControllerConfig limits_config() {
  ControllerConfig config = testing::dual_config({}, {.layers = 2, .experts = 2, .k = 1});
  config.guard.bias_clamp = 0.03;
  config.adapter.log_price_clamp = 2.0;
  return config;
}

const PricingParameters kPrior{
    .k = 1, .bias = {0.02F, 0.0F, -0.03F, 0.03F}, .unit_price = {1.0F, 1.0F, 2.0F, 1.0F}};

TEST(AdapterLimits, LeaveAloneWhatIsWithinThem) {
  const AdapterOutput out{.bias = {0.01F, -0.03F, 0.013F, -0.017F}, .log_price = {2.0F, -0.3F}};
  const AdapterOutput same = within_limits(limits_config(), kPrior, out);
  EXPECT_EQ(same.bias, out.bias);
  EXPECT_EQ(same.log_price, out.log_price);
}

TEST(AdapterLimits, BoundTheSumOfBiasesNotTheAdaptersShare) {
  const AdapterOutput out = within_limits(
      limits_config(), kPrior, {.bias = {0.02F, 0.05F, -0.01F, 0.01F}, .log_price = {0.0F, 0.0F}});
  const PricingParameters rule = adapted(kPrior, out);
  const std::vector<float> expected{0.03F, 0.03F, -0.03F, 0.03F};
  for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_NEAR(rule.bias[i], expected[i], 1e-7);
}

TEST(AdapterLimits, BoundTheShiftOfEachLayersPrice) {
  const AdapterOutput out = within_limits(
      limits_config(), kPrior, {.bias = std::vector<float>(4, 0.0F), .log_price = {5.0F, -5.0F}});
  const PricingParameters rule = adapted(kPrior, out);
  EXPECT_NEAR(rule.unit_price[0], std::exp(2.0), 1e-5);
  EXPECT_NEAR(rule.unit_price[2], 2.0 * std::exp(-2.0), 1e-6);
}

}  // namespace
}  // namespace thermoe
