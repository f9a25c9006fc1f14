// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/thermal_response.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/errors.h"

namespace thermoe {
namespace {

ThermalParameters two_poles() {
  return {.ambient = Celsius(40.0),
          .poles = {{KelvinPerWatt(0.015), Seconds(0.4)}, {KelvinPerWatt(0.02), Seconds(11.0)}}};
}

TEST(ThermalResponse, AStepMatchesTheExactSolutionWhateverTheStepLength) {
  for (const double dt : {0.001, 0.1, 2.5}) {
    ThermalResponse response(two_poles(), Watts(100.0));
    const int steps = static_cast<int>(std::lround(5.0 / dt));
    for (int i = 0; i < steps; ++i) response.advance(Watts(500.0), Seconds(dt));
    const double exact = 40.0 + 0.015 * (500.0 - 400.0 * std::exp(-5.0 / 0.4)) +
                         0.02 * (500.0 - 400.0 * std::exp(-5.0 / 11.0));
    EXPECT_NEAR(response.temperature().value, exact, 1e-9) << "dt=" << dt;
  }
}

TEST(ThermalResponse, ConstantPowerFromTheStartMovesNothing) {
  ThermalResponse response(two_poles(), Watts(300.0));
  response.advance(Watts(300.0), Seconds(7.0));
  EXPECT_DOUBLE_EQ(response.temperature().value, two_poles().steady(Watts(300.0)).value);
  EXPECT_DOUBLE_EQ(response.temperature().value, 40.0 + 0.035 * 300.0);
}

TEST(ThermalResponse, AStartElsewhereIsCarriedByTheSlowestPole) {
  ThermalResponse response(two_poles(), Watts(100.0), Celsius(50.0));
  EXPECT_NEAR(response.temperature().value, 50.0, 1e-12);
  response.advance(Watts(100.0), Seconds(11.0));
  EXPECT_NEAR(response.temperature().value, 43.5 + (50.0 - 43.5) * std::exp(-1.0), 1e-9);
  EXPECT_THROW(ThermalResponse({}, Watts(0.0), Celsius(50.0)), PreconditionError);
}

TEST(ThermalResponse, APoleWithoutATimeConstantIsRefused) {
  const ThermalParameters bad{.poles = {{KelvinPerWatt(0.01), Seconds(0.0)}}};
  EXPECT_THROW(ThermalResponse(bad, Watts(0.0)), PreconditionError);
}

}  // namespace
}  // namespace thermoe
