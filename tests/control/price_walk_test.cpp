// SPDX-License-Identifier: Apache-2.0
#include "control/price_walk.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "control/demand.h"
#include "synthetic_router.h"

namespace thermoe {
namespace {

using testing::h100_like;
using testing::LogitSource;

constexpr int kLayers = 2, kTokens = 24, kExperts = 64, kK = 4;
const RouterSpec kRouter{.experts = kExperts, .k = kK};

std::vector<std::uint8_t> every_third() {
  std::vector<std::uint8_t> variant(kLayers * kExperts);
  for (std::size_t i = 0; i < variant.size(); ++i) variant[i] = i % 3 == 0 ? 1 : 0;
  return variant;
}

StepCost two_precisions() {
  StepCost costs = h100_like(kLayers);
  costs.variants.push_back(CostCurve({{1.0, {Seconds(1e-6), Joules(4e-4), Celsius(0.1)}}}));
  return costs;
}

PricingParameters parameters_of(std::mt19937& random, int k_min, bool biased) {
  PricingParameters p{.k = kK, .k_min = k_min};
  std::uniform_real_distribution<float> bias(-0.05F, 0.05F), price(0.5F, 2.0F);
  for (int i = 0; i < kLayers * kExperts; ++i) {
    if (biased) p.bias.push_back(bias(random));
    p.unit_price.push_back(price(random));
  }
  return p;
}

class Walk : public ::testing::TestWithParam<bool> {};

TEST_P(Walk, ArrivesWhereTheRuleIsFromAnywhere) {
  std::mt19937 random(11);
  LogitSource source(kLayers, kTokens, kExperts, 12);
  const std::vector<std::uint8_t> variant = every_third();
  const LoadCosts costs(two_precisions(), kTokens, variant);
  for (int round = 0; round < 8; ++round) {
    const auto utilities = std::make_shared<const Utilities>(source.next(), kRouter);
    const auto sample = std::make_shared<const PricedSample>(
        utilities, parameters_of(random, round % kK, GetParam()));
    PriceWalk walk(sample, variant);
    std::uniform_int_distribution<std::size_t> any(0, sample->thresholds().size() - 1);
    for (int move = 0; move < 25; ++move) {
      const double at = sample->thresholds()[any(random)];
      const double lambda = move % 7 == 0 ? 0.0 : move % 5 == 0 ? 1e6 : at * (1.0 + move % 3);
      walk.move_to(lambda);
      const RoutingStats rule = sample->loads(lambda);
      const Demand expected = costs.demand(rule);
      const Demand counted = costs.demand(walk.histogram(), kLayers);
      ASSERT_EQ(counted.active, expected.active) << "round " << round << " move " << move;
      ASSERT_NEAR(counted.cost.energy / expected.cost.energy, 1.0, 1e-12);
      ASSERT_NEAR(counted.cost.latency / expected.cost.latency, 1.0, 1e-12);
      ASSERT_NEAR(walk.kept().mean(), rule.kept_mass, 1e-12);
    }
    EXPECT_NEAR(walk.plain_kept().mean(), sample->loads(0.0).kept_mass, 1e-12);
  }
}

INSTANTIATE_TEST_SUITE_P(PlainAndBiased, Walk, ::testing::Bool(),
                         [](const auto& info) { return info.param ? "Biased" : "Plain"; });

/// What the rule means by "the best": all experts of a row sorted by u, ties by id.
std::vector<int> order_of(std::span<const float> u) {
  std::vector<int> order(u.size());
  for (std::size_t e = 0; e < order.size(); ++e) order[e] = static_cast<int>(e);
  std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return u[a] > u[b]; });
  return order;
}

void expect_ranked(const LogitSample& sample, int k) {
  const Utilities u(sample, {.experts = sample.experts, .k = k});
  for (int row = 0; row < sample.layers * sample.tokens; ++row) {
    const auto all = u.all().subspan(static_cast<std::size_t>(row) * sample.experts,
                                     static_cast<std::size_t>(sample.experts));
    const auto expected = order_of(all);
    const auto best = u.ranking().experts(static_cast<std::size_t>(row));
    ASSERT_GE(best.size(), static_cast<std::size_t>(std::min(k + 1, sample.experts)));
    for (std::size_t i = 0; i < best.size(); ++i) {
      ASSERT_EQ(best[i], expected[i]) << "row " << row << " rank " << i;
      ASSERT_EQ(u.ranking().utilities(static_cast<std::size_t>(row))[i], all[best[i]]);
    }
  }
}

TEST(Ranking, IsTheOrderOfASortWhateverTheRowsLookLike) {
  expect_ranked(LogitSource(kLayers, kTokens, kExperts, 5).next(), kK);
  std::mt19937 random(6);
  std::normal_distribution<float> normal;
  LogitSample odd{.layers = 1, .tokens = 60, .experts = 48};
  for (int t = 0; t < odd.tokens; ++t) {
    const float level = 100.0F * normal(random);
    for (int e = 0; e < odd.experts; ++e) {
      float x = normal(random);
      if (t % 6 == 1) x = 0.0F;                               // all equal
      if (t % 6 == 2) x = std::round(x);                      // ties everywhere, across the cut too
      if (t % 6 == 3) x = e == 7 ? 300.0F : -300.0F * x * x;  // one, and u of 0
      if (t % 6 == 4) x = std::exp(4.0F * x);                 // heavy tail
      if (t % 6 == 5) x = 1.0F + 1e-6F * x;                   // u that differ in the last bits
      odd.logits.push_back(level + x);
    }
  }
  for (const int k : {1, 3, 8, 47, 48}) expect_ranked(odd, k);
}

TEST(LeastPriceFromAnywhere, IsTheSameAsFromTheStart) {
  const StepCost step = two_precisions();
  const LoadCosts costs(step, kTokens, every_third());
  LogitSource source(kLayers, kTokens, kExperts, 14);
  std::vector<std::shared_ptr<const Utilities>> utilities;
  for (int i = 0; i < 12; ++i) {
    utilities.push_back(std::make_shared<const Utilities>(source.next(), kRouter));
  }
  std::mt19937 random(15);
  const PricingParameters parameters = parameters_of(random, 1, false);
  DemandModel kept(5, every_third());
  for (std::size_t i = 0; i < utilities.size(); ++i) {
    kept.add(utilities[i]);
    kept.price(parameters);
    DemandModel fresh(5, every_third());
    for (std::size_t j = i < 4 ? 0 : i - 4; j <= i; ++j) fresh.add(utilities[j]);
    fresh.price(parameters);
    ASSERT_EQ(kept.prices(), fresh.prices());
    const double full = fresh.plain(costs).cost.energy.value;
    for (const double share : {1.0, 0.7, 0.95, 0.2, 0.8, 0.81}) {
      const auto meets = [&](const Demand& d) { return d.cost.energy.value <= share * full; };
      const PriceChoice a = least_price(kept, costs, meets);
      const PriceChoice b = least_price(fresh, costs, meets);
      EXPECT_EQ(a.lambda, b.lambda) << "tick " << i << " share " << share;
      EXPECT_EQ(a.reached, b.reached);
      EXPECT_NEAR(a.demand.kept_mass, b.demand.kept_mass, 1e-12);
      if (a.lambda == 0.0 || !a.reached) continue;
      const std::size_t number = fresh.last_number();
      EXPECT_EQ(fresh.price_of(number), a.lambda);
      EXPECT_FALSE(meets(fresh.cost_at(fresh.price_of(number - 1), costs)));
    }
  }
}

}  // namespace
}  // namespace thermoe
