// SPDX-License-Identifier: Apache-2.0
// What holds for the priced rule on any logits. More of it (a price of 0 and k_min = k are the
// baseline, D never rises with lambda): topk_route_pricing_test.cpp; the same of control's
// evaluation: tests/control/priced_rule_properties_test.cpp.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>
#include <thread>

#include "topk_route_oracle.h"
#include "topk_route_problems.h"

namespace thermoe {
namespace {

constexpr int kTokens = 16, kExperts = 96;

class TopkRouteProperties : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(TopkRoute, TopkRouteProperties, ::testing::ValuesIn(kernel_backends()),
                         BackendName());

/// Priced, with biases in one of two.
RouteProblem priced_batch(unsigned seed) {
  RouteProblem problem{
      .tokens = kTokens, .experts = kExperts, .k = 6, .k_min = 1 + static_cast<int>(seed % 2)};
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0F, 1.5F);
  std::uniform_real_distribution<float> price(0.02F, 0.3F), bias(-0.05F, 0.05F);
  for (int i = 0; i < kTokens * kExperts; ++i) problem.logits.push_back(normal(random));
  for (int e = 0; e < kExperts; ++e) {
    problem.price.push_back(price(random));
    if (seed % 2 == 0) problem.bias.push_back(bias(random));
  }
  return problem;
}

TEST_P(TopkRouteProperties, AShiftOfATokensLogitsChangesNoBit) {
  for (unsigned seed = 1; seed <= 20; ++seed) {
    RouteProblem problem = priced_batch(seed);
    // On a grid and by whole numbers, as then no sum of logits is rounded.
    for (float& x : problem.logits) x = std::round(256.0F * x) / 256.0F;
    const RouteResult before = route(GetParam(), problem);
    std::mt19937 random(seed);
    for (int t = 0; t < kTokens; ++t) {
      const auto shift = static_cast<float>(static_cast<int>(random() % 64) - 32);
      for (int e = 0; e < kExperts; ++e) problem.logits[t * kExperts + e] += shift;
    }
    const RouteResult after = route(GetParam(), problem);
    EXPECT_EQ(after.expert, before.expert) << "seed " << seed;
    EXPECT_EQ(after.weight, before.weight) << "seed " << seed;
    EXPECT_EQ(after.kept_mass, before.kept_mass) << "seed " << seed;
  }
}

TEST_P(TopkRouteProperties, RenamedExpertsAreThoseThatWerePicked) {
  int compared = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    const RouteProblem problem = priced_batch(seed);
    // What rounding may decide either way is decided by the order of a sum.
    if (route_oracle(problem).smallest_margin() < 10 * kRounding) continue;
    ++compared;
    std::vector<int> name(kExperts);
    std::iota(name.begin(), name.end(), 0);
    std::shuffle(name.begin(), name.end(), std::mt19937(seed));
    RouteProblem renamed = problem;
    for (int e = 0; e < kExperts; ++e) {
      renamed.price[name[e]] = problem.price[e];
      if (!problem.bias.empty()) renamed.bias[name[e]] = problem.bias[e];
      for (int t = 0; t < kTokens; ++t)
        renamed.logits[t * kExperts + name[e]] = problem.logits[t * kExperts + e];
    }
    const RouteResult before = route(GetParam(), problem), after = route(GetParam(), renamed);
    for (std::size_t i = 0; i < before.expert.size(); ++i) {
      const int expected = before.expert[i] < 0 ? -1 : name[before.expert[i]];
      EXPECT_EQ(after.expert[i], expected) << "seed " << seed;
      EXPECT_NEAR(after.weight[i], before.weight[i], 1e-5F) << "seed " << seed;
    }
    for (int e = 0; e < kExperts; ++e) EXPECT_EQ(after.counts[name[e]], before.counts[e]);
  }
  EXPECT_GE(compared, 5);
}

TEST_P(TopkRouteProperties, ADearerExpertNeverGainsLoad) {
  int lost = 0;
  for (unsigned seed = 1; seed <= 10; ++seed) {
    const RouteProblem problem = priced_batch(seed);
    const RouteResult before = route(GetParam(), problem);
    for (int e = 0; e < kExperts; e += 5) {
      RouteProblem dearer = problem;
      dearer.price[e] *= 2.0F;
      const int now = route(GetParam(), dearer).counts[e];
      EXPECT_LE(now, before.counts[e]) << "seed " << seed << " expert " << e;
      lost += now < before.counts[e] ? 1 : 0;
    }
  }
  EXPECT_GE(lost, 10);
}

TEST_P(TopkRouteProperties, ThreadsThatRouteAtOnceGetTheBitsOfOneAlone) {
  if (!GetParam().reads_host_memory) GTEST_SKIP() << "a device takes its launches in one order";
  constexpr unsigned kBatches = 24;
  std::vector<RouteResult> alone;
  for (unsigned seed = 0; seed < kBatches; ++seed)
    alone.push_back(route(GetParam(), priced_batch(seed)));
  for (const unsigned threads : {2U, 5U}) {
    std::vector<RouteResult> together(kBatches);
    {
      std::vector<std::jthread> all;
      for (unsigned first = 0; first < threads; ++first) {
        all.emplace_back([&, first] {
          for (unsigned seed = first; seed < kBatches; seed += threads)
            together[seed] = route(GetParam(), priced_batch(seed));
        });
      }
    }
    EXPECT_TRUE(alone == together) << threads << " threads";
  }
}

}  // namespace
}  // namespace thermoe
