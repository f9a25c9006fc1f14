// SPDX-License-Identifier: Apache-2.0
#include "core/routing_stats.h"

#include <gtest/gtest.h>

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

}  // namespace
}  // namespace thermoe
