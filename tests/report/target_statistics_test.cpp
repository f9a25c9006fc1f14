// SPDX-License-Identifier: Apache-2.0
#include "report/target_statistics.h"

#include <gtest/gtest.h>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Seconds kTick{0.5};

TEST(TargetStatistics, TheMovingMeanCoversAllThereIsUntilTheWindowIsFull) {
  const std::vector<double> signal = {2, 4, 9, 1};
  EXPECT_EQ(moving_mean(signal, Seconds(1.0), kTick), (std::vector<double>{2, 3, 6.5, 5}));
}

TEST(TargetStatistics, AWindowShorterThanATickIsRefused) {
  EXPECT_THROW(MovingMean(Seconds(0.1), Seconds(0.5)), PreconditionError);
}

TEST(TargetStatistics, OnlyTicksBeyondTheLimitCountAsViolation) {
  const std::vector<double> signal = {100, 105, 105.1, 200};
  EXPECT_DOUBLE_EQ(*share_above(signal, 105), 0.5);
  EXPECT_FALSE(share_above({}, 105).has_value());
}

TEST(TargetStatistics, SettlingIsWhenTheSignalEntersTheBandToStay) {
  //                                  start at 1.0 s v
  const std::vector<double> signal = {100, 100, 130, 101, 120, 104, 99, 100, 101};
  const auto settled = settling_time(signal, kTick, 95, 105, Seconds(1.0), Seconds(2.0));
  ASSERT_TRUE(settled);
  EXPECT_DOUBLE_EQ(settled->value, 1.5);  // the tick of 104 begins at 2.5 s
}

TEST(TargetStatistics, ASignalThatNeverLeavesTheBandSettlesAtOnce) {
  const std::vector<double> signal(10, 100.0);
  EXPECT_DOUBLE_EQ(settling_time(signal, kTick, 95, 105, Seconds(1.0), Seconds(2.0))->value, 0.0);
}

TEST(TargetStatistics, ASignalThatDoesNotStayLongEnoughNeverSettles) {
  const std::vector<double> signal = {130, 130, 100, 100, 130, 100, 100, 100};
  EXPECT_FALSE(settling_time(signal, kTick, 95, 105, Seconds(0), Seconds(2.0)).has_value());
}

TEST(TargetStatistics, PercentilesTakeTheNearestRankByWeight) {
  const std::vector<Weighted> values = {{30, 1}, {10, 98}, {20, 1}};
  EXPECT_DOUBLE_EQ(*percentile(values, 0.5), 10);
  EXPECT_DOUBLE_EQ(*percentile(values, 0.98), 10);
  EXPECT_DOUBLE_EQ(*percentile(values, 0.99), 20);
  EXPECT_DOUBLE_EQ(*percentile(values, 1.0), 30);
  EXPECT_FALSE(percentile({}, 0.5).has_value());
  EXPECT_FALSE(percentile({{1, 0}}, 0.5).has_value());
}

}  // namespace
}  // namespace thermoe
