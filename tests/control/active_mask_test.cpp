// SPDX-License-Identifier: Apache-2.0
#include "control/active_mask.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>

#include "control/plan_writer.h"
#include "control/pricing.h"
#include "synthetic_router.h"

namespace thermoe {
namespace {

constexpr int kLayers = 3, kTokens = 16, kExperts = 64, kPicks = 8;

using Samples = std::vector<std::shared_ptr<const Utilities>>;

Samples samples_of(const RouterSpec& router, int count, std::uint32_t seed) {
  testing::LogitSource source(kLayers, kTokens, kExperts, seed);
  Samples samples;
  for (int i = 0; i < count; ++i) {
    samples.push_back(std::make_shared<const Utilities>(source.next(), router));
  }
  return samples;
}

RoutingPlan priced(const RouterSpec& router, double lambda) {
  ControllerConfig config;
  config.layers = kLayers;
  config.router = router;
  return priced_plan(config, {.k = router.k, .k_min = 1}, lambda);
}

/// Mean distinct experts of each layer over the samples.
template <class Route>
std::vector<double> active_by_layer(const Samples& samples, const Route& route) {
  std::vector<double> active(kLayers, 0.0);
  for (const auto& sample : samples) {
    const RoutingStats stats = route(sample);
    for (int l = 0; l < kLayers; ++l) {
      active[l] += static_cast<double>(stats.active(l)) / static_cast<double>(samples.size());
    }
  }
  return active;
}

const RouterSpec kRouter{.experts = kExperts, .k = kPicks};

TEST(ActiveMask, WithoutAPriceEveryExpertMayRun) {
  const auto mask = active_mask(priced(kRouter, 0.0), kRouter, samples_of(kRouter, 4, 1));
  EXPECT_EQ(mask.size(), static_cast<std::size_t>(kLayers * kExperts));
  EXPECT_THAT(mask, ::testing::Each(1));
}

TEST(ActiveMask, RunsNoMoreExpertsThanThePricesDoAndNearlyAsMany) {
  const Samples samples = samples_of(kRouter, 8, 2);
  for (const double lambda : {0.05, 0.2, 0.5}) {
    const RoutingPlan plan = priced(kRouter, lambda);
    const auto mask = active_mask(plan, kRouter, samples);
    const auto by_price = active_by_layer(samples, [&](auto& s) { return routed_by(plan, s); });
    const auto by_mask = active_by_layer(samples, [&](auto& s) { return routed_among(mask, s); });
    for (int l = 0; l < kLayers; ++l) {
      EXPECT_LE(by_mask[l], by_price[l]) << lambda << " layer " << l;
      EXPECT_GE(by_mask[l], by_price[l] - 2.0) << lambda << " layer " << l;
    }
  }
}

TEST(ActiveMask, KeepsTheExpertsThatTokensLoseMostWith) {
  const Samples samples = samples_of(kRouter, 8, 3);
  const RoutingPlan plan = priced(kRouter, 0.3);
  const auto mask = active_mask(plan, kRouter, samples);
  std::vector<std::uint8_t> others(mask.size(), 0);  // as many of each layer, the last by id
  for (int l = 0; l < kLayers; ++l) {
    const auto row = mask.begin() + l * kExperts;
    const auto kept = std::count(row, row + kExperts, 1);
    std::fill(others.begin() + (l + 1) * kExperts - kept, others.begin() + (l + 1) * kExperts, 1);
  }
  double mine = 0.0, theirs = 0.0;
  for (const auto& sample : samples) {
    mine += routed_among(mask, sample).kept_mass;
    theirs += routed_among(others, sample).kept_mass;
  }
  EXPECT_GT(mine, 1.1 * theirs);
}

TEST(ActiveMask, LeavesATokenItsKExpertsInWhicheverGroupsItKeeps) {
  RouterSpec router = kRouter;
  router.groups = 8;
  router.groups_kept = 2;
  const auto mask = active_mask(priced(router, 1e6), router, samples_of(router, 4, 4));
  for (int l = 0; l < kLayers; ++l) {
    for (int g = 0; g < router.groups; ++g) {
      const auto group = mask.begin() + l * kExperts + g * (kExperts / router.groups);
      EXPECT_GE(std::count(group, group + kExperts / router.groups, 1),
                kPicks / router.groups_kept);
    }
  }
}

TEST(ActiveMask, AFloorPriceLeavesAtLeastKExperts) {
  const auto mask = active_mask(priced(kRouter, 1e6), kRouter, samples_of(kRouter, 4, 5));
  for (int l = 0; l < kLayers; ++l) {
    const auto row = mask.begin() + l * kExperts;
    EXPECT_GE(std::count(row, row + kExperts, 1), kPicks);
  }
}

TEST(ActiveMask, APlansPricesRouteAsThePricedSampleItWasMadeFrom) {
  const Samples samples = samples_of(kRouter, 1, 6);
  const PricedSample rule(samples.front(), {.k = kPicks, .k_min = 1});
  for (const double lambda : {0.0, 0.1, 0.4}) {
    const RoutingStats by_plan = routed_by(priced(kRouter, lambda), samples.front());
    const RoutingStats by_rule = rule.loads(lambda);
    EXPECT_EQ(by_plan.counts, by_rule.counts) << lambda;
    EXPECT_EQ(by_plan.kept_mass, by_rule.kept_mass) << lambda;
  }
}

}  // namespace
}  // namespace thermoe
