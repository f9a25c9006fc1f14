// SPDX-License-Identifier: Apache-2.0
#include "profile/gpu_samples.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

constexpr std::int64_t kMs = 1'000'000;

SampleSeries ramp() {
  SampleSeries series;
  series.add(20 * kMs, 300.0);  // out of order, as tables may be
  series.add(0, 100.0);
  series.add(10 * kMs, 200.0);
  series.finish();
  return series;
}

TEST(SampleSeries, MeansFollowTheLineBetweenSamples) {
  const SampleSeries series = ramp();
  EXPECT_DOUBLE_EQ(*series.mean(0, 20 * kMs), 200.0);
  EXPECT_DOUBLE_EQ(*series.mean(5 * kMs, 5 * kMs), 150.0);
  EXPECT_DOUBLE_EQ(*series.mean(2 * kMs, 4 * kMs), 130.0);
  EXPECT_DOUBLE_EQ(*series.mean(8 * kMs, 16 * kMs), 220.0);
}

TEST(SampleSeries, OutsideOfTheSamplesNothingIsKnown) {
  const SampleSeries series = ramp();
  EXPECT_FALSE(series.mean(-1, 5));
  EXPECT_FALSE(series.mean(19 * kMs, 21 * kMs));
  SampleSeries one;
  one.add(0, 100.0);
  one.finish();
  EXPECT_FALSE(one.mean(0, 0));
}

TEST(SampleSeries, NobodySawWhatLiesInALongGap) {
  SampleSeries series;
  for (const std::int64_t at : {0, 10, 2000, 2010}) series.add(at * kMs, 100.0);
  series.finish();
  EXPECT_TRUE(series.mean(1 * kMs, 9 * kMs));
  EXPECT_FALSE(series.mean(500 * kMs, 501 * kMs));
  EXPECT_FALSE(series.mean(5 * kMs, 2005 * kMs));
  EXPECT_TRUE(series.mean(2001 * kMs, 2009 * kMs));
}

}  // namespace
}  // namespace thermoe
