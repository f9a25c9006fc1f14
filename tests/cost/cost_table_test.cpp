// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_table.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

CostRow row(double tokens, double latency) {
  return {.tokens = tokens, .latency = Seconds(latency), .energy = Joules(10 * latency)};
}

CostRow row(double tokens, double active, double latency) {
  CostRow r = row(tokens, latency);
  r.active_experts = active;
  return r;
}

CostTable table(std::vector<CostRow> rows) {
  return {
      {.op = "linear", .shape = {8, 4}, .dtype = "bf16"}, CostSource::kCupti, "", std::move(rows)};
}

CostTable by_active() {
  return table({row(16, 8, 10), row(16, 24, 42), row(16, 40, 50), row(64, 8, 22), row(64, 40, 86)});
}

TEST(CostTable, ReturnsARowAsItWasMeasured) {
  const OpCost at = table({row(1, 2), row(5, 4), row(9, 12)}).at(5);
  EXPECT_EQ(at.latency, Seconds(4));
  EXPECT_EQ(at.energy, Joules(40));
  EXPECT_EQ(at.basis, Basis::kMeasured);
}

TEST(CostTable, IsExactlyLinearBetweenRows) {
  const OpCost at = table({row(1, 2), row(5, 4), row(9, 12)}).at(6);
  EXPECT_DOUBLE_EQ(at.latency.value, 6.0);
  EXPECT_DOUBLE_EQ(at.energy->value, 60.0);
  EXPECT_EQ(at.basis, Basis::kInterpolated);
}

TEST(CostTable, ContinuesTheLastSegmentAndSaysSo) {
  const CostTable t = table({row(2, 2), row(5, 4), row(9, 12)});
  EXPECT_DOUBLE_EQ(t.at(11).latency.value, 16.0);
  EXPECT_EQ(t.at(11).basis, Basis::kExtrapolated);
  EXPECT_DOUBLE_EQ(t.at(0.5).latency.value, 1.0);
  EXPECT_EQ(t.at(0.5).basis, Basis::kExtrapolated);
  EXPECT_DOUBLE_EQ(table({row(4, 3)}).at(9).latency.value, 3.0);
  EXPECT_EQ(table({row(4, 3)}).at(9).basis, Basis::kExtrapolated);
}

TEST(CostTable, NeverFallsBelowZero) {
  EXPECT_EQ(table({row(10, 1), row(11, 5)}).at(1).latency, Seconds(0));
}

TEST(CostTable, InterpolatesInTokensAndActiveExperts) {
  const CostTable t = by_active();
  EXPECT_EQ(t.at(16, 24).basis, Basis::kMeasured);
  EXPECT_DOUBLE_EQ(t.at(16, 16).latency.value, 26.0);
  EXPECT_EQ(t.at(16, 16).basis, Basis::kInterpolated);
  EXPECT_DOUBLE_EQ(t.at(40, 8).latency.value, 16.0);
  EXPECT_EQ(t.at(40, 8).basis, Basis::kInterpolated);
  // At 24: 42 at 16 tokens, 54 at 64; half way between.
  EXPECT_DOUBLE_EQ(t.at(40, 24).latency.value, 48.0);
  EXPECT_EQ(t.at(40, 24).basis, Basis::kInterpolated);
  EXPECT_EQ(t.at(16, 48).basis, Basis::kExtrapolated);
  EXPECT_EQ(t.at(128, 24).basis, Basis::kExtrapolated);
}

TEST(CostTable, ALoneRowFollowsTheNearestBatchThatHasMore) {
  const CostTable t = table({row(1, 8, 7), row(16, 8, 10), row(16, 24, 42)});
  EXPECT_EQ(t.at(1, 8).basis, Basis::kMeasured);
  EXPECT_DOUBLE_EQ(t.at(1, 24).latency.value, 7.0 + 32.0);
  EXPECT_EQ(t.at(1, 24).basis, Basis::kExtrapolated);
}

TEST(CostTable, NearestIsByRatioOfTokensNotByDifference) {
  // From 4 tokens, 1 is 3 away and 8 is 4, but 8 is twice as many and 1 a quarter.
  const CostTable t =
      table({row(1, 8, 1), row(1, 24, 2), row(4, 8, 7), row(8, 8, 10), row(8, 24, 42)});
  EXPECT_DOUBLE_EQ(t.at(4, 24).latency.value, 7.0 + 32.0);
}

TEST(CostTable, EnergyIsAbsentWhereARowLacksIt) {
  CostRow without = row(5, 4);
  without.energy.reset();
  const CostTable t = table({row(1, 2), without, row(9, 12)});
  EXPECT_FALSE(t.has_energy());
  EXPECT_TRUE(t.at(1).energy);
  EXPECT_FALSE(t.at(3).energy);
  EXPECT_DOUBLE_EQ(t.at(3).latency.value, 3.0);
}

TEST(CostTable, ScalesEnergyButNotTime) {
  const CostTable t = by_active().with_energy_scale(1.15);
  EXPECT_DOUBLE_EQ(t.at(16, 8).energy->value, 115.0);
  EXPECT_EQ(t.at(16, 8).latency, Seconds(10));
}

TEST(CostTable, RefusesRowsOutOfOrderAndLookupsThatAreNoNumbers) {
  EXPECT_THROW(table({}), PreconditionError);
  EXPECT_THROW(table({row(2, 1), row(1, 1)}), PreconditionError);
  EXPECT_THROW(table({row(2, 8, 1), row(2, 8, 1)}), PreconditionError);
  EXPECT_THROW(table({row(2, 8, 1), row(3, 1)}), PreconditionError);
  EXPECT_THROW(by_active().at(std::numeric_limits<double>::quiet_NaN(), 8), PreconditionError);
  EXPECT_THROW(by_active().at(16, -1), PreconditionError);
}

}  // namespace
}  // namespace thermoe
