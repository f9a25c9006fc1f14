// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "control/shadow_prices.h"
#include "core/routing_plan.h"
#include "price_certificate.h"
#include "random_price_problem.h"

namespace thermoe {
namespace {

using testing::Instance;
using testing::random_instance;
using testing::solve;
using testing::use_of;

constexpr std::uint32_t kSeeds = 12;

TEST(ShadowPriceProperties, CapsThatHoldAnywayLeaveTheBaselineBitForBit) {
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    Instance i = random_instance(seed, {.layers = 2}, 1 + static_cast<int>(seed % 3));
    for (CappedResource& r : i.problem.resources) r.cap = 1e6;
    const ShadowPrices s = solve(i.problem);
    EXPECT_EQ(s.sweeps, 1);
    EXPECT_EQ(s.gap(), 0.0);
    RoutingPlan plan(2, 12, 3);
    const RoutingPlan baseline = plan;
    for (int l = 0; l < 2; ++l) {
      for (int e = 0; e < 12; ++e) {
        plan.selection_bias(l)[e] =
            static_cast<float>(s.price[static_cast<std::size_t>(l) * 12 + e]);
      }
    }
    EXPECT_TRUE(std::equal(plan.bytes().begin(), plan.bytes().end(), baseline.bytes().begin()));
  }
}

TEST(ShadowPriceProperties, TheBudgetIsNeverExceededInTheModel) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    Instance i = random_instance(100 + seed, {.layers = 2}, 1 + static_cast<int>(seed % 2), 0.9);
    if (seed % 4 == 0) {
      CappedResource& r = i.problem.resources[0];
      for (int e = 0; e < 12; ++e) r.device_of.push_back(static_cast<std::uint8_t>(e / 6));
      r.cap = r.constant + 0.6 * (r.cap - r.constant);
    }
    for (const double gap : {1e-2, 1e-4, 1e-6}) {
      const ShadowPrices s = solve(i.problem, gap);
      ASSERT_TRUE(s.converged) << "seed " << seed << " gap " << gap;
      const std::vector<double> use = use_of(i.problem, s.load);
      for (std::size_t r = 0; r < use.size(); ++r) {
        EXPECT_LE(use[r], i.problem.resources[r].cap * (1.0 + 1e-12))
            << "seed " << seed << " gap " << gap;
      }
      EXPECT_TRUE(s.feasible());
    }
  }
}

TEST(ShadowPriceProperties, AShiftOfATokensScoresChangesNothing) {
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    Instance i = random_instance(seed, {});
    const ShadowPrices before = solve(i.problem);
    std::mt19937 random(seed);
    for (int t = 0; t < 24; ++t) {
      const float shift = static_cast<float>(random() % 64) / 64.0F;
      for (int e = 0; e < 12; ++e) i.scores[static_cast<std::size_t>(t) * 12 + e] += shift;
    }
    const ShadowPrices after = solve(i.problem);
    for (std::size_t c = 0; c < before.price.size(); ++c) {
      EXPECT_NEAR(before.load[c], after.load[c], 1e-3) << "seed " << seed;
      EXPECT_NEAR(before.price[c], after.price[c], 1e-4) << "seed " << seed;
    }
  }
}

TEST(ShadowPriceProperties, RenamedExpertsHaveTheirOldPrices) {
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    const Instance i = random_instance(seed, {});
    const ShadowPrices before = solve(i.problem);
    std::vector<int> name(12);
    std::iota(name.begin(), name.end(), 0);
    std::shuffle(name.begin(), name.end(), std::mt19937(seed));
    Instance j = i;
    for (int e = 0; e < 12; ++e) {
      for (int t = 0; t < 24; ++t) j.scores[t * 12 + name[e]] = i.scores[t * 12 + e];
      j.problem.resources[0].curve_of[name[e]] = i.problem.resources[0].curve_of[e];
    }
    j.attach();
    const ShadowPrices after = solve(j.problem);
    for (int e = 0; e < 12; ++e) {
      EXPECT_NEAR(before.load[e], after.load[name[e]], 1e-3) << "seed " << seed;
      EXPECT_NEAR(before.price[e], after.price[name[e]], 1e-4) << "seed " << seed;
    }
  }
}

/// A cap of nothing at a low ceiling is a fixed price: w (C - cap).
Instance at_fixed_price(std::uint32_t seed, double price) {
  Instance i = random_instance(seed, {});
  i.problem.resources[0].cap = 0.0;
  i.problem.resources[0].price_ceiling = price;
  return i;
}

TEST(ShadowPriceProperties, ADearerExpertNeverGainsLoad) {
  double lost = 0.0;
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    Instance i = at_fixed_price(seed, 0.02);
    const ShadowPrices before = solve(i.problem);
    ASSERT_TRUE(before.converged) << before.gap();
    CappedResource& r = i.problem.resources[0];
    for (std::size_t e = 0; e < 12; ++e) {
      const CappedResource was = r;
      ConvexCurve dearer = r.curves[r.curve_of[e]];
      for (double& v : dearer.value) v *= 1.3;
      for (double& v : dearer.slope) v *= 1.3;
      r.curve_of[e] = static_cast<std::uint8_t>(r.curves.size());
      r.curves.push_back(dearer);
      const ShadowPrices after = solve(i.problem);
      EXPECT_LE(after.load[e], before.load[e] + 2e-3) << "seed " << seed << " expert " << e;
      lost += before.load[e] - after.load[e];
      r = was;
    }
  }
  EXPECT_GT(lost, 50.0);
}

TEST(ShadowPriceProperties, CostsNeverRiseWithTheirPrice) {
  for (std::uint32_t seed = 1; seed <= kSeeds; ++seed) {
    double first = 0.0, last = 1e30;
    for (const double price : {1e-4, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0}) {
      const Instance i = at_fixed_price(seed, price);
      const ShadowPrices s = solve(i.problem, 1e-6);
      EXPECT_TRUE(s.converged) << "seed " << seed << " price " << price << " gap " << s.gap();
      EXPECT_LE(s.resource_use[0], last + 1e-3) << "seed " << seed << " price " << price;
      if (price == 1e-4) first = s.resource_use[0];
      last = s.resource_use[0];
    }
    EXPECT_LT(last, 0.95 * first) << "seed " << seed;
  }
}

TEST(ShadowPriceProperties, AreTheSameBitsForAnyNumberOfThreads) {
  const Instance i = random_instance(8, {.layers = 3, .tokens = 200});
  const ShadowPrices one = solve(i.problem, 1e-5);
  for (const int threads : {2, 3, 7}) {
    const ShadowPrices many = solve(i.problem, 1e-5, threads);
    EXPECT_EQ(one.price, many.price);
    EXPECT_EQ(one.load, many.load);
    EXPECT_EQ(one.sweeps, many.sweeps);
  }
}

}  // namespace
}  // namespace thermoe
