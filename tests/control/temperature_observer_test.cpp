// SPDX-License-Identifier: Apache-2.0
#include "control/temperature_observer.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <vector>

namespace thermoe {
namespace {

constexpr Watts kPower{350.0};
constexpr Seconds kSettling{2.0};
constexpr Celsius kWarmer{5.0};  // the room, which the model does not know

FirstOrderThermal model_of(double time_constant) {
  return {Celsius(40.0), KelvinPerWatt(0.05), Seconds(time_constant)};
}

/// Reading - prediction of an observer that starts three degrees off, tick by tick.
std::vector<double> prediction_errors(TemperatureObserver& observer, double time_constant,
                                      Seconds dt, int ticks) {
  FirstOrderThermal truth = model_of(time_constant);
  truth.ambient += kWarmer;
  Celsius temperature{50.0};
  observer.update(kPower, temperature + Celsius(3.0), dt);
  std::vector<double> errors;
  for (int i = 0; i < ticks; ++i) {
    temperature = truth.after(temperature, kPower, dt);
    errors.push_back((temperature - observer.after(kPower, dt)).value);
    observer.update(kPower, temperature, dt);
  }
  return errors;
}

class ObserverAtAnyTick : public testing::TestWithParam<double> {};

TEST_P(ObserverAtAnyTick, ForgetsAWrongStartAndFindsTheWarmerRoom) {
  const Seconds dt(GetParam());
  for (const double time_constant : {0.5, 8.0, 20.0}) {
    TemperatureObserver observer(model_of(time_constant), kSettling);
    // An offset of the ambient shows only as fast as the die follows it.
    const int ticks = static_cast<int>(std::ceil(30.0 * kSettling.value / dt.value)) + 30;
    const auto errors = prediction_errors(observer, time_constant, dt, ticks);
    EXPECT_NEAR(errors.back(), 0.0, 1e-6) << "time constant " << time_constant;
    EXPECT_NEAR(observer.offset().value, kWarmer.value, 1e-4) << "time constant " << time_constant;
    const auto largest = std::max_element(
        errors.begin(), errors.end(), [](double a, double b) { return std::abs(a) < std::abs(b); });
    EXPECT_LT(std::abs(*largest), 10.0) << "time constant " << time_constant;
  }
}

TEST_P(ObserverAtAnyTick, HasBothPolesWhereItsSettlingTimePutsThem) {
  const Seconds dt(GetParam());
  TemperatureObserver observer(model_of(20.0), kSettling);
  const auto e = prediction_errors(observer, 20.0, dt, 12);
  const double pole = std::exp(-(dt / kSettling));
  for (std::size_t i = 0; i + 2 < e.size(); ++i) {
    EXPECT_NEAR(e[i + 2], 2.0 * pole * e[i + 1] - pole * pole * e[i], 1e-9) << "tick " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(Seconds, ObserverAtAnyTick,
                         testing::Values(0.01, 0.1, 0.5, 1.0, 1.8, 3.0, 10.0));

TEST(TemperatureObserver, ATickOfNoLengthTeachesNothing) {
  TemperatureObserver observer(model_of(20.0));
  observer.update(kPower, Celsius(50.0), Seconds(0.0));
  observer.update(kPower, Celsius(60.0), Seconds(0.0));
  EXPECT_EQ(observer.temperature().value, 50.0);
  EXPECT_EQ(observer.offset().value, 0.0);
}

}  // namespace
}  // namespace thermoe
