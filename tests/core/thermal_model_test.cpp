// SPDX-License-Identifier: Apache-2.0
#include "core/thermal_model.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

constexpr FirstOrderThermal kModel{
    .ambient = Celsius(25.0), .resistance = KelvinPerWatt(0.05), .time_constant = Seconds(10.0)};

TEST(FirstOrderThermal, ReachesSixtyThreePercentOfTheRiseInOneTimeConstant) {
  const Celsius t = kModel.after(Celsius(25.0), Watts(400.0), Seconds(10.0));
  EXPECT_NEAR(t.value, 25.0 + 20.0 * (1.0 - std::exp(-1.0)), 1e-12);
}

TEST(FirstOrderThermal, ManySmallStepsEqualOneLarge) {
  Celsius t(60.0);
  for (int i = 0; i < 1000; ++i) t = kModel.after(t, Watts(300.0), Seconds(0.03));
  EXPECT_NEAR(t.value, kModel.after(Celsius(60.0), Watts(300.0), Seconds(30.0)).value, 1e-9);
}

TEST(FirstOrderThermal, StaysAtItsSteadyTemperature) {
  const Celsius steady = kModel.steady(Watts(350.0));
  EXPECT_NEAR(kModel.after(steady, Watts(350.0), Seconds(1e6)).value, steady.value, 1e-12);
}

}  // namespace
}  // namespace thermoe
