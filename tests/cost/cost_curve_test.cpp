// SPDX-License-Identifier: Apache-2.0
#include "core/cost_curve.h"

#include <gtest/gtest.h>

#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

Cost cost(double latency, double energy) {
  return {Seconds(latency), Joules(energy), Celsius(0.5 * energy)};
}

CostCurve curve() {
  return CostCurve({{.tokens = 1, .cost = cost(3, 10)},
                    {.tokens = 5, .cost = cost(7, 14)},
                    {.tokens = 9, .cost = cost(15, 30)}});
}

TEST(CostCurve, AnIdleExpertCostsNothingAndTheFirstTokenCostsTheActivation) {
  EXPECT_EQ(curve().at(0.0).energy, Joules(0));
  EXPECT_EQ(curve().at(0.3).energy, Joules(10));
  EXPECT_EQ(curve().activation().latency, Seconds(3));
  EXPECT_EQ(curve().marginal(0.0).energy, Joules(10));
}

TEST(CostCurve, IsExactlyLinearBetweenPointsAndContinuesTheLastSlope) {
  EXPECT_DOUBLE_EQ(curve().at(2).latency.value, 4.0);
  EXPECT_DOUBLE_EQ(curve().at(7).energy.value, 22.0);
  EXPECT_DOUBLE_EQ(curve().at(7).heat.value, 11.0);
  EXPECT_DOUBLE_EQ(curve().at(10).energy.value, 34.0);
  EXPECT_DOUBLE_EQ(curve().marginal(4.9).energy.value, 1.0);
  EXPECT_DOUBLE_EQ(curve().marginal(5).energy.value, 4.0);  // the right derivative
  EXPECT_DOUBLE_EQ(curve().marginal(100).energy.value, 4.0);
}

TEST(Basis, TheWeakerOfTwoCounts) {
  EXPECT_EQ(weaker(Basis::kMeasured, Basis::kExtrapolated), Basis::kExtrapolated);
  EXPECT_EQ(to_string(Basis::kInterpolated), "interpolated");
}

TEST(CostCurve, ASinglePointCostsTheSameAtEveryLoad) {
  const CostCurve flat({{.tokens = 1, .cost = cost(3, 10)}});
  EXPECT_EQ(flat.at(50).energy, Joules(10));
  EXPECT_EQ(flat.marginal(3).energy, Joules(0));
}

TEST(CostCurve, RefusesWhatIsNotACost) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(CostCurve(std::vector<CostCurve::Point>{}), PreconditionError);
  EXPECT_THROW(CostCurve({{.tokens = 0.5, .cost = cost(1, 1)}}), PreconditionError);
  EXPECT_THROW(CostCurve({{.tokens = 1, .cost = cost(-1, 1)}}), PreconditionError);
  EXPECT_THROW(CostCurve({{.tokens = 1, .cost = cost(nan, 1)}}), PreconditionError);
  EXPECT_THROW(CostCurve({{.tokens = 2, .cost = cost(1, 1)}, {.tokens = 2, .cost = cost(1, 1)}}),
               PreconditionError);
}

}  // namespace
}  // namespace thermoe
