// SPDX-License-Identifier: Apache-2.0
#include "control/pricing.h"

#include <gtest/gtest.h>

#include "control/demand.h"
#include "control/plan_writer.h"
#include "core/errors.h"
#include "synthetic_router.h"

namespace thermoe {
namespace {

using testing::h100_like;
using testing::LogitSource;
using testing::ReferenceRouter;

constexpr int kLayers = 2, kTokens = 16, kExperts = 32, kK = 4;

ControllerConfig small_config() {
  return {.layers = kLayers, .router = {.experts = kExperts, .k = kK}, .costs = h100_like(kLayers)};
}

std::shared_ptr<const Utilities> utilities_of(const LogitSample& sample, int k = kK) {
  return std::make_shared<const Utilities>(sample, RouterSpec{.experts = sample.experts, .k = k});
}

PricingParameters random_parameters(std::mt19937& random, int k_min) {
  PricingParameters p{.k = kK, .k_min = k_min};
  std::uniform_real_distribution<float> bias(-0.05F, 0.05F), price(0.5F, 2.0F);
  for (int i = 0; i < kLayers * kExperts; ++i) {
    p.bias.push_back(bias(random));
    p.unit_price.push_back(price(random));
  }
  return p;
}

LogitSample one_layer(int tokens, int experts, std::vector<float> logits) {
  return {.layers = 1, .tokens = tokens, .experts = experts, .logits = std::move(logits)};
}

TEST(ControlPricing, AgreesWithTheRuleReadLiterally) {
  std::mt19937 random(7);
  LogitSource source(kLayers, kTokens, kExperts, 7);
  const ReferenceRouter router({.experts = kExperts, .k = kK});
  const ControllerConfig config = small_config();
  for (int round = 0; round < 20; ++round) {
    const LogitSample sample = source.next();
    const PricingParameters parameters = random_parameters(random, 1 + round % kK);
    const PricedSample priced(utilities_of(sample), parameters);
    for (const double lambda : {0.0, 0.03, 0.11, 0.27, 0.6, 2.0}) {
      const RoutingStats expected = router.route(sample, priced_plan(config, parameters, lambda));
      const RoutingStats got = priced.loads(lambda);
      EXPECT_EQ(got.counts, expected.counts) << "round " << round << " lambda " << lambda;
      EXPECT_NEAR(got.kept_mass, expected.kept_mass, 1e-5);
    }
  }
}

TEST(ControlPricing, LambdaZeroIsPlainTopK) {
  LogitSource source(kLayers, kTokens, kExperts, 3);
  const auto u = utilities_of(source.next());
  const PricedSample priced(u, {.k = kK, .k_min = 1});
  const RoutingStats plain = plain_loads(*u).back();
  EXPECT_EQ(priced.loads(0.0).counts, plain.counts);
  EXPECT_NEAR(priced.loads(0.0).kept_mass, 1.0, 1e-6);
}

TEST(ControlPricing, KMinOfKIsTheBaselineAtAnyPrice) {
  LogitSource source(kLayers, kTokens, kExperts, 4);
  const auto u = utilities_of(source.next());
  const PricedSample priced(u, {.k = kK, .k_min = kK});
  EXPECT_EQ(priced.loads(1e6).counts, plain_loads(*u).back().counts);
  EXPECT_TRUE(priced.thresholds().empty());
}

TEST(ControlPricing, ActiveExpertsNeverRiseWithLambda) {
  LogitSource source(kLayers, kTokens, kExperts, 5);
  const PricedSample priced(utilities_of(source.next()), {.k = kK, .k_min = 1});
  double before = 1e9;
  for (double lambda = 0.0; lambda < 1.5; lambda += 0.01) {
    const double active = priced.loads(lambda).mean_active();
    EXPECT_LE(active, before);
    before = active;
  }
  EXPECT_LT(before, priced.loads(0.0).mean_active());
}

TEST(ControlPricing, EachTokenKeepsItsBestExpertAtAnyPrice) {
  // Two tokens, k = 2; each likes one expert best and shares the other.
  const auto u = utilities_of(one_layer(2, 4, {3, 2, 0, 0, /**/ 0, 2, 3, 0}), 2);
  const RoutingStats stats = PricedSample(u, {.k = 2, .k_min = 1}).loads(1e9);
  EXPECT_EQ(stats.counts, (std::vector<std::int32_t>{2, 0, 2, 0}));
}

TEST(ControlPricing, ALossCountsOnlyWhatTheNextBestCannotReplace) {
  // Token 0 picks {0,1}, token 1 picks {1,2}; token 0's next in the union is expert 2.
  const auto u = utilities_of(one_layer(2, 4, {2, 1, 0.5F, -9, /**/ -9, 2, 1, -9}), 2);
  const PricedSample priced(u, {.k = 2, .k_min = 1});
  const auto first = u->row(0, 0);
  const auto second = u->row(0, 1);
  EXPECT_NEAR(priced.losses()[0], first[0] - first[2], 1e-6);
  EXPECT_NEAR(priced.losses()[1], (first[1] - first[2]) + (second[1] - second[0]), 1e-6);
  EXPECT_EQ(priced.losses()[3], 0.0F);
}

TEST(ControlPricing, TiesGoToTheLowestExpert) {
  const auto u = utilities_of(one_layer(1, 5, {1, 1, 1, 1, 1}), 2);
  EXPECT_EQ(PricedSample(u, {.k = 2, .k_min = 1}).loads(0.0).counts,
            (std::vector<std::int32_t>{1, 1, 0, 0, 0}));
}

TEST(ControlPricing, PlainLoadsOfASmallerKAreThoseOfPlainTopK) {
  LogitSource source(kLayers, kTokens, kExperts, 6);
  const LogitSample sample = source.next();
  const auto by_k = plain_loads(*utilities_of(sample));
  for (int k = 1; k <= kK; ++k) {
    ControllerConfig config = small_config();
    const RoutingStats expected =
        ReferenceRouter({.experts = kExperts, .k = kK}).route(sample, reduced_plan(config, k));
    EXPECT_EQ(by_k[k - 1].counts, expected.counts);
    EXPECT_NEAR(by_k[k - 1].kept_mass, expected.kept_mass, 1e-5);
  }
}

TEST(ControlPricing, NanLogitsAreSeenNotUsed) {
  const auto u = utilities_of(one_layer(1, 3, {0, std::nanf(""), 0}), 2);
  EXPECT_FALSE(u->finite());
  EXPECT_THROW(PricedSample(u, {.k = 2, .k_min = 1}), PreconditionError);
}

TEST(ControlDemand, TabulatedCostsEqualTheStepCost) {
  StepCost costs = h100_like(kLayers);
  costs.variants.push_back(CostCurve({{1.0, {Seconds(1e-6), Joules(4e-4), Celsius(0.1)}}}));
  std::vector<std::uint8_t> variant(kLayers * kExperts);
  for (std::size_t i = 0; i < variant.size(); ++i) variant[i] = i % 3 == 0 ? 1 : 0;
  LogitSource source(kLayers, kTokens, kExperts, 8);
  const RoutingStats stats = plain_loads(*utilities_of(source.next())).back();
  const Cost expected = costs.step(stats, variant);
  const Demand got = LoadCosts(costs, kTokens, variant).demand(stats);
  EXPECT_NEAR(got.cost.energy.value, expected.energy.value, 1e-12);
  EXPECT_NEAR(got.cost.latency.value, expected.latency.value, 1e-12);
  EXPECT_NEAR(got.active, stats.mean_active(), 1e-12);
}

class LeastPrice : public ::testing::Test {
 protected:
  LeastPrice() : costs_(h100_like(kLayers), kTokens, {}), model_(6) {
    LogitSource source(kLayers, kTokens, kExperts, 9);
    for (int i = 0; i < 8; ++i) model_.add(utilities_of(source.next()));
    model_.price({.k = kK, .k_min = 1});
  }
  LoadCosts costs_;
  DemandModel model_;
};

TEST_F(LeastPrice, IsZeroWhereThereIsSlack) {
  const auto choice = least_price(model_, costs_, [](const Demand&) { return true; });
  EXPECT_EQ(choice.lambda, 0.0);
  EXPECT_TRUE(choice.reached);
}

TEST_F(LeastPrice, IsTheSmallestBreakpointThatMeetsTheBudget) {
  const double full = model_.at(0.0, costs_).cost.energy.value;
  for (const double share : {0.95, 0.8, 0.7}) {
    const auto meets = [&](const Demand& d) { return d.cost.energy.value <= share * full; };
    const auto choice = least_price(model_, costs_, meets);
    ASSERT_TRUE(choice.reached);
    EXPECT_TRUE(meets(model_.at(choice.lambda, costs_)));
    for (std::size_t i = 0; i < model_.prices(); ++i) {
      const double lambda = model_.price_of(i);
      if (lambda >= choice.lambda) break;
      EXPECT_FALSE(meets(model_.at(lambda, costs_))) << lambda;
    }
  }
}

TEST_F(LeastPrice, GivesTheFloorWhereTheBudgetIsOutOfReach) {
  const auto choice = least_price(model_, costs_, [](const Demand&) { return false; });
  EXPECT_FALSE(choice.reached);
  EXPECT_EQ(choice.demand.active, model_.at(1e9, costs_).active);
}

TEST_F(LeastPrice, PricesAnExpertOfTwiceTheEnergyAtTwiceTheLambda) {
  StepCost costs = h100_like(1);
  const Cost dear{Seconds(6.4e-6), Joules(2.74e-3), Celsius(0.0)};
  costs.variants.push_back(CostCurve({{1.0, dear}}));
  const std::vector<std::uint8_t> variant{0, 1};
  const auto prices = unit_prices(costs, 1, 2, variant);
  EXPECT_NEAR(prices[1] / prices[0], 2.0, 1e-6);
  EXPECT_NEAR(prices[0] + prices[1], 2.0, 1e-6);
}

}  // namespace
}  // namespace thermoe
