// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/calibration_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "core/errors.h"

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

CalibrationPlanRequest request_of(int variants = 1) {
  return {.variants = variants,
          .active = {8, 32, 56, 80, 104, 128},
          .period = Seconds(0.016),
          .longer_period = Seconds(0.032)};
}

std::vector<CalibrationWindow> levels_of(const std::vector<CalibrationWindow>& windows) {
  std::vector<CalibrationWindow> levels;
  std::ranges::copy_if(windows, std::back_inserter(levels),
                       [](const auto& w) { return w.counted() && !w.idle(); });
  return levels;
}

TEST(ActiveGrid, SpansFromKToWhatABatchReachesInSixEvenSteps) {
  EXPECT_THAT(active_grid(8, 128, 16), ElementsAre(8, 32, 56, 80, 104, 128));
  EXPECT_THAT(active_grid(8, 128, 4), ElementsAre(8, 13, 18, 22, 27, 32)) << "4 tokens reach 32";
  EXPECT_THAT(active_grid(4, 6, 16), ElementsAre(4, 5, 6)) << "no more than there are";
  EXPECT_THAT(active_grid(8, 128, 1), ElementsAre(8)) << "one token has one D";
  EXPECT_THROW(active_grid(8, 4, 16), PreconditionError);
}

TEST(CalibrationPlan, FitsTheBudgetWithEveryPauseAndUsesFullWindowsWhereItCan) {
  const CalibrationPlanRequest one = request_of();
  const auto windows = plan_calibration(one);
  EXPECT_LE(planned_time(one, windows), Seconds(90.0));
  for (const auto& level : levels_of(windows)) EXPECT_EQ(level.length, Seconds(3.0));

  const CalibrationPlanRequest two = request_of(2);
  const auto shorter = plan_calibration(two);
  EXPECT_NEAR(planned_time(two, shorter).value, 90.0, 1e-6) << "the budget is used";
  EXPECT_LT(levels_of(shorter).front().length, Seconds(3.0));
}

TEST(CalibrationPlan, WhatDriftsWithTimeTellsNoDFromAnother) {
  const auto levels = levels_of(plan_calibration(request_of(2)));
  ASSERT_EQ(levels.size(), 36U);
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_EQ(levels[i], levels[35 - i]) << "forwards and backwards";
    EXPECT_EQ(levels[i].period, Seconds(0.016));
    EXPECT_EQ(levels[12 + i].period, Seconds(0.032));
  }
  for (int v = 0; v < 2; ++v) {
    for (const int active : request_of().active) {
      const auto same = std::ranges::count_if(
          levels, [&](const auto& w) { return w.variant == v && w.active == active; });
      EXPECT_EQ(same, 3) << "variant " << v << " D=" << active;
    }
  }
}

TEST(CalibrationPlan, TheOrderIsTheSeeds) {
  CalibrationPlanRequest request = request_of();
  const auto windows = plan_calibration(request);
  EXPECT_EQ(plan_calibration(request), windows);
  request.seed = 2;
  EXPECT_NE(plan_calibration(request), windows);
}

TEST(CalibrationPlan, BurstsOfDifferentLengthsStandBetweenRests) {
  const auto windows = plan_calibration(request_of());
  EXPECT_TRUE(windows.front().idle() && windows.front().counted());
  EXPECT_TRUE(windows.back().idle() && windows.back().counted());
  for (std::size_t i = 1; i <= 12; ++i) {
    EXPECT_FALSE(windows[i].counted());
    EXPECT_EQ(windows[i].idle(), i % 2 == 0);
    EXPECT_EQ(windows[i].active, i % 2 == 0 ? 0 : 128);
  }
  EXPECT_NE(windows[1].length, windows[3].length);
}

TEST(CalibrationPlan, MorePrecisionsThanTheBudgetHoldsAreRefusedWithTheRemedy) {
  try {
    plan_calibration(request_of(4));
    FAIL() << "four precisions do not fit";
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("72 windows of at least 1.2 s do not fit into 90 s; "
                                        "calibrate fewer precisions"));
  }
}

}  // namespace
}  // namespace thermoe
