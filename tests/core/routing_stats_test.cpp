// SPDX-License-Identifier: Apache-2.0
#include "core/routing_stats.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thermoe {
namespace {

TEST(RoutingStats, CountsDistinctExpertsALayer) {
  const RoutingStats stats{
      .layers = 2, .experts = 4, .tokens = 3, .counts = {3, 0, 1, 2, 0, 0, 6, 0}};
  EXPECT_EQ(stats.active(0), 3);
  EXPECT_EQ(stats.active(1), 1);
  EXPECT_DOUBLE_EQ(stats.mean_active(), 2.0);
}

TEST(RoutingStats, WithoutLayersNothingIsActive) { EXPECT_EQ(RoutingStats{}.mean_active(), 0.0); }

TEST(KeptMass, LosesTheMeanOfTheLogarithmsNotTheLogarithmOfTheMean) {
  KeptMass kept;
  double nats = 0.0;
  for (int i = 1; i <= 1000; ++i) {
    kept.add(0.001 * i);
    nats -= std::log(0.001 * i) / 1000.0;
  }
  EXPECT_NEAR(kept.mean(), 0.5005, 1e-12);
  EXPECT_NEAR(kept.quality_loss(), nats, 1e-12);
}

TEST(KeptMass, ATokenThatKeepsNothingLosesABoundedNumberOfNats) {
  EXPECT_NEAR(quality_loss_of(0.0), std::log(1000.0), 1e-12);
  EXPECT_EQ(quality_loss_of(1.0 + 1e-7), 0.0) << "rounding is no gain";
  KeptMass kept;
  for (int i = 0; i < 500; ++i) kept.add(0.0);
  EXPECT_NEAR(kept.quality_loss(), std::log(1000.0), 1e-12);
}

TEST(KeptMass, WithoutTokensNothingIsLost) {
  EXPECT_EQ(KeptMass{}.mean(), 1.0);
  EXPECT_EQ(KeptMass{}.quality_loss(), 0.0);
}

}  // namespace
}  // namespace thermoe
