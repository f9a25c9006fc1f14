// SPDX-License-Identifier: Apache-2.0
#include "core/batch_costs.h"

#include <gmock/gmock.h>

namespace thermoe {
namespace {

using ::testing::ElementsAre;

StepCost of(double watts) { return {.active_idle = Watts(watts)}; }

TEST(BatchCosts, AreThoseOfTheLeastKnownRowsThatHoldTheStep) {
  const BatchCosts costs({{1, of(1)}, {8, of(8)}, {16, of(16)}});
  EXPECT_EQ(costs.at(1).active_idle, Watts(1));
  EXPECT_EQ(costs.at(2).active_idle, Watts(8));
  EXPECT_EQ(costs.at(8).active_idle, Watts(8));
  EXPECT_EQ(costs.at(9).active_idle, Watts(16));
  EXPECT_EQ(costs.at(99).active_idle, Watts(16)) << "beyond the last, the last's";
}

TEST(BatchCosts, ChangeAtEachNumberOfRows) {
  const BatchCosts twice = BatchCosts({{1, of(1)}, {8, of(8)}}).changed([](StepCost cost) {
    cost.active_idle *= 2.0;
    return cost;
  });
  EXPECT_EQ(twice.at(1).active_idle, Watts(2));
  EXPECT_EQ(twice.at(5).active_idle, Watts(16));
}

TEST(BatchCosts, AreRefusedWithoutRowsOrOutOfOrder) {
  EXPECT_ANY_THROW(BatchCosts({}));
  EXPECT_ANY_THROW(BatchCosts({{0, of(1)}}));
  EXPECT_ANY_THROW(BatchCosts({{8, of(1)}, {8, of(2)}}));
}

TEST(BatchCosts, AreAskedForAtAnEnginesGraphsAndCoarselyBeyondThem) {
  EXPECT_THAT(rows_to_cost({.batch_limit = 20, .graph_sizes = {1, 8, 16, 24, 32}}),
              ElementsAre(1, 8, 16, 24));
  EXPECT_THAT(rows_to_cost({.batch_limit = 40, .graph_sizes = {1, 8}}),
              ElementsAre(1, 8, 16, 32, 40));
  EXPECT_THAT(rows_to_cost({.batch_limit = 6}), ElementsAre(1, 2, 4, 6));
  EXPECT_THAT(rows_to_cost({.batch_limit = 1}), ElementsAre(1));
}

}  // namespace
}  // namespace thermoe
