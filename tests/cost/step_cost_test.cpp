// SPDX-License-Identifier: Apache-2.0
#include "core/step_cost.h"

#include <gtest/gtest.h>

#include "core/errors.h"

namespace thermoe {
namespace {

StepCost two_variants() {
  StepCost step{.layer_repeat = 12.0, .layer_constant = {Seconds(1), Joules(2), Celsius(3)}};
  step.variants = {CostCurve({{.tokens = 1, .cost = {Seconds(10), Joules(20), Celsius(0)}},
                              {.tokens = 2, .cost = {Seconds(11), Joules(22), Celsius(0)}}}),
                   CostCurve({{.tokens = 1, .cost = {Seconds(4), Joules(5), Celsius(0)}}})};
  return step;
}

TEST(StepCost, ALayerIsItsConstantAndItsActiveExperts) {
  const std::vector<std::int32_t> counts = {0, 1, 3};
  EXPECT_DOUBLE_EQ(two_variants().layer(counts).energy.value, 2 + 20 + 24);
  EXPECT_DOUBLE_EQ(two_variants().layer(counts).latency.value, 1 + 10 + 12);
  const std::vector<std::uint8_t> variant = {0, 1, 0};
  EXPECT_DOUBLE_EQ(two_variants().layer(counts, variant).energy.value, 2 + 5 + 24);
}

TEST(StepCost, AStepStandsForAllTheLayersThatItIsChargedFor) {
  RoutingStats stats{.layers = 2, .experts = 2, .tokens = 1};
  stats.counts = {1, 0, 1, 1};
  EXPECT_DOUBLE_EQ(two_variants().step(stats).energy.value, 12.0 * ((2 + 20) + (2 + 40)));
  const std::vector<std::uint8_t> variant = {1, 1, 0, 1};
  EXPECT_DOUBLE_EQ(two_variants().step(stats, variant).energy.value, 12.0 * ((2 + 5) + (2 + 25)));
}

TEST(StepCost, RefusesVariantsThatItDoesNotKnow) {
  const std::vector<std::int32_t> counts = {1, 1};
  EXPECT_THROW(two_variants().layer(counts, std::vector<std::uint8_t>{0, 2}), PreconditionError);
  EXPECT_THROW(two_variants().layer(counts, std::vector<std::uint8_t>{0}), PreconditionError);
  EXPECT_THROW(StepCost{}.layer(counts), PreconditionError);
}

TEST(StepCost, PowerFollowsThePeriodUntilTheStepIsLonger) {
  const Cost step{Seconds(0.01), Joules(4), Celsius(0)};
  EXPECT_DOUBLE_EQ(mean_power(step, Seconds(0.02), Watts(130)).value, 330.0);
  EXPECT_DOUBLE_EQ(mean_power(step, Seconds(0.0), Watts(130)).value, 530.0);
  EXPECT_DOUBLE_EQ(mean_power(step, Seconds(0.005), Watts(130)).value, 530.0);
  EXPECT_DOUBLE_EQ(mean_power(Cost{}, Seconds(0.0), Watts(130)).value, 130.0);
}

}  // namespace
}  // namespace thermoe
