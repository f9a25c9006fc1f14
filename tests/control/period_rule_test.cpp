// SPDX-License-Identifier: Apache-2.0
#include "control/period_rule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thermoe {
namespace {

const PeriodRange kRange{.from = Seconds(0.010), .to = Seconds(0.030)};

/// Watts that fall as the period to this power.
SteadyAt falling(double elasticity) {
  return [=](Seconds p) {
    return SteadyState{.power = Watts(400.0 * std::pow(p.value / 0.010, -elasticity))};
  };
}

TEST(PeriodRule, RisesToItsLimitWhereATenthSavesOnePerCent) {
  const PeriodChoice choice = period_that_saves(kRange, falling(0.11));
  EXPECT_EQ(choice.period, kRange.to);
  EXPECT_EQ(choice.limit, PeriodLimit::kLatency);
}

TEST(PeriodRule, StaysWhereItSavesLess) {
  const PeriodChoice choice = period_that_saves(kRange, falling(0.09));
  EXPECT_EQ(choice.period, kRange.from);
  EXPECT_EQ(choice.limit, PeriodLimit::kSaving);
}

TEST(PeriodRule, PassesARiseThatIsWorthItAndStopsAtOneThatIsNot) {
  const auto padded = [](double rise) {  // a graph ends at 16 ms
    return [=](Seconds p) {
      const double joules = p.value < 0.016 ? 1.0 : 1.0 + rise;
      return SteadyState{.power = Watts(4.0 * joules / p.value)};
    };
  };
  EXPECT_EQ(period_that_saves(kRange, padded(0.2)).period, kRange.to);
  EXPECT_LT(period_that_saves(kRange, padded(1.1)).period, Seconds(0.016));
}

TEST(PeriodRule, WithoutAChoiceTheLimitIsThePeriod) {
  const PeriodRange none{
      .from = Seconds(0.010), .to = Seconds(0.008), .limit = PeriodLimit::kBatchLimit};
  for (const PeriodChoice& c :
       {period_that_saves(none, falling(1.0)), period_that_meets(none, falling(1.0))}) {
    EXPECT_EQ(c.period, none.to);
    EXPECT_EQ(c.limit, PeriodLimit::kBatchLimit);
  }
}

TEST(PeriodRule, ACapIsMetByTheShortestPeriodThatDoes) {
  const auto capped = [](double watts) {
    return [=](Seconds p) {
      SteadyState at = falling(1.0)(p);
      at.meets = at.power <= Watts(watts);
      return at;
    };
  };
  const PeriodChoice met = period_that_meets(kRange, capped(200.0));
  EXPECT_NEAR(met.period.value, 0.020, 0.02 * 0.020);
  EXPECT_EQ(met.limit, PeriodLimit::kCap);
  const PeriodChoice slack = period_that_meets(kRange, capped(500.0));
  EXPECT_EQ(slack.period, kRange.from);
  EXPECT_EQ(slack.limit, PeriodLimit::kStepTime);
  const PeriodChoice unmet = period_that_meets(kRange, capped(100.0));
  EXPECT_EQ(unmet.period, kRange.to);
  EXPECT_FALSE(unmet.steady.meets);
}

}  // namespace
}  // namespace thermoe
