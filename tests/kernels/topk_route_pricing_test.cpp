// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "topk_route_oracle.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;

class TopkRoutePricingTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(TopkRoutePricing, TopkRoutePricingTest,
                         ::testing::ValuesIn(kernel_backends()), BackendName());

/// A decode batch of the size that the demonstration routes.
RouteProblem decode_batch(unsigned seed) {
  RouteProblem problem{.tokens = 16, .experts = 128, .k = 8};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 2.0F);
  for (int i = 0; i < 16 * 128; ++i) problem.logits.push_back(normal(random));
  return problem;
}

TEST_P(TopkRoutePricingTest, APriceOfZeroIsTheBaselineBitForBit) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    RouteProblem problem = decode_batch(seed);
    const RouteResult baseline = route(GetParam(), problem);
    problem.price.assign(128, 0.0F);
    problem.bias.assign(128, 0.0F);
    EXPECT_EQ(route(GetParam(), problem), baseline);
    EXPECT_EQ(baseline.kept_mass, std::vector<float>(16, 1.0F));
  }
}

TEST_P(TopkRoutePricingTest, PricesAndBiasesThatTouchNobodyAreTheBaselineBitForBit) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    RouteProblem problem = decode_batch(seed);
    for (int t = 0; t < 16; ++t) problem.logits[t * 128 + 77] = -50.0F;
    const RouteResult baseline = route(GetParam(), problem);
    // No shortcut for zeros applies here: the whole rule runs and changes nothing.
    problem.price.assign(128, 0.0F);
    problem.bias.assign(128, 0.0F);
    problem.price[77] = 1e9F;
    problem.bias[77] = 1.0F;
    EXPECT_EQ(route(GetParam(), problem), baseline);
  }
}

TEST_P(TopkRoutePricingTest, KMinEqualToKIsTheBaselineBitForBit) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    RouteProblem problem = decode_batch(seed);
    const RouteResult baseline = route(GetParam(), problem);
    problem.price.assign(128, 1e9F);
    problem.k_min = problem.k;
    EXPECT_EQ(route(GetParam(), problem), baseline);
    // Tokens with one more take the whole rule.
    problem.price.clear();
    problem.plan_k = problem.k_min = 5;
    problem.extra_k_share = 0.3F;
    problem.extra_k_min_share = 1.0F;
    const RouteResult ragged = route(GetParam(), problem);
    problem.price.assign(128, 1e9F);
    EXPECT_EQ(route(GetParam(), problem), ragged);
  }
}

TEST_P(TopkRoutePricingTest, ActiveExpertsNeverRiseWithLambda) {
  for (unsigned seed = 0; seed < 10; ++seed) {
    RouteProblem problem = decode_batch(seed);
    std::mt19937 random(seed);
    std::vector<float> cost(128);
    for (float& a : cost) a = std::uniform_real_distribution<float>(0.5F, 2.0F)(random);
    problem.price.resize(128);
    int last = 129;
    const int baseline = route(GetParam(), problem).active();
    for (double lambda = 0.0; lambda < 3.0; lambda += 0.01) {
      for (int e = 0; e < 128; ++e) problem.price[e] = static_cast<float>(lambda * cost[e]);
      const int active = route(GetParam(), problem).active();
      ASSERT_LE(active, last) << "lambda " << lambda;
      last = active;
    }
    EXPECT_LT(last, baseline / 2);
  }
}

TEST_P(TopkRoutePricingTest, AnInfinitePriceLeavesTheUnionOfTheKMinBest) {
  RouteProblem problem{
      .tokens = 2, .experts = 6, .k = 3, .logits{9, 8, 7, 0, 0, 0, 0, 0, 0, 7, 8, 9}};
  problem.price.assign(6, std::numeric_limits<float>::infinity());
  problem.k_min = 2;
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.counts, ElementsAre(2, 1, 0, 0, 2, 1));
  EXPECT_THAT(result.expert, ElementsAre(0, 1, 4, 5, 4, 0));
}

TEST_P(TopkRoutePricingTest, ATokenWithFewerActiveExpertsThanKLeavesSlotsEmpty) {
  RouteProblem problem{.tokens = 1, .experts = 4, .k = 3, .logits{4, 3, 2, 1}};
  problem.price.assign(4, 10.0F);
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.expert, ElementsAre(0, -1, -1));
  EXPECT_THAT(result.weight, ElementsAre(1.0F, 0.0F, 0.0F));
  EXPECT_LT(result.kept_mass[0], 1.0F);
}

TEST_P(TopkRoutePricingTest, AnExpertGoesExactlyWhenItsLossFallsBelowItsPrice) {
  // Token 0 likes 0 and 1, token 1 likes 0 and 2; p = 1/2, 1/4 and 1/8 twice, k = 2, s = 3/4.
  const float one = 0.0F;
  const float half = -std::log(2.0F);
  const float quarter = 2 * half;
  RouteProblem problem{.tokens = 2,
                       .experts = 4,
                       .k = 2,
                       .logits{one, half, quarter, quarter, one, quarter, half, quarter}};
  // Without expert 1, token 0 falls from 1/4 to 1/8 (expert 2 is in the union): loss 1/6.
  problem.price = {0.0F, 0.16F, 0.0F, 0.0F};
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 1, 0, 2));
  problem.price = {0.0F, 0.17F, 0.0F, 0.0F};
  const RouteResult priced = route(GetParam(), problem);
  EXPECT_THAT(priced.expert, ElementsAre(0, 2, 0, 2));
  EXPECT_NEAR(priced.kept_mass[0], 5.0 / 6.0, 1e-6);
  EXPECT_EQ(priced.kept_mass[1], 1.0F);
}

TEST_P(TopkRoutePricingTest, AnExpertWhoseLossEqualsItsPriceStays) {
  // Two experts share the token, u = 1/2 each: exact in binary, and so is the loss of either.
  RouteProblem problem{.tokens = 1, .experts = 2, .k = 2, .logits{0, 0}, .price{0, 0.5F}};
  const std::vector<std::vector<int>> both = {{0, 1}};
  EXPECT_EQ(route_oracle(problem).picks, both);
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, 1));
  problem.price[1] = std::nextafter(0.5F, 1.0F);
  const std::vector<std::vector<int>> one = {{0}};
  EXPECT_EQ(route_oracle(problem).picks, one);
  EXPECT_THAT(route(GetParam(), problem).expert, ElementsAre(0, -1));
}

TEST_P(TopkRoutePricingTest, AnExpertThatManyTokensNeedOutlivesOneThatFewDo) {
  RouteProblem problem{.tokens = 5, .experts = 3, .k = 2};
  // All want 0; tokens 0..3 want 1 next, token 4 wants 2 next.
  for (int t = 0; t < 5; ++t) {
    for (const float x : {3.0F, t < 4 ? 1.0F : 0.0F, t < 4 ? 0.0F : 1.0F})
      problem.logits.push_back(x);
  }
  problem.price.assign(3, 0.15F);
  const RouteResult result = route(GetParam(), problem);
  EXPECT_THAT(result.counts, ElementsAre(5, 5, 0));
}

TEST(TopkRoutePricing, EveryInstructionSetOfACpuTakesTheSameDecisionsBitForBit) {
  for (unsigned seed = 0; seed < 20; ++seed) {
    RouteProblem problem = decode_batch(seed);
    problem.price.assign(128, 0.1F);
    problem.bias.assign(128, 0.0F);
    for (int e = 0; e < 128; e += 3) problem.bias[e] = 0.05F;
    const RouteResult simplest = route(cpu_backend<cpu::Isa::kBaseline>("baseline"), problem);
    EXPECT_EQ(route(kernel_backends().front(), problem), simplest);
  }
}

}  // namespace
}  // namespace thermoe
