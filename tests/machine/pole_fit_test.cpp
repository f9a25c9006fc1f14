// SPDX-License-Identifier: Apache-2.0
#include "machine/simulated/pole_fit.h"

#include <gtest/gtest.h>

#include <cmath>

namespace thermoe {
namespace {

const std::vector<Seconds> kTimes{Seconds(0.3), Seconds(10.0), Seconds(100.0)};
constexpr Watts kIdle{130.0};

ThermalParameters card() {
  return {.ambient = Celsius(38.0),
          .poles = {{KelvinPerWatt(0.015), kTimes[0]},
                    {KelvinPerWatt(0.01), kTimes[1]},
                    {KelvinPerWatt(0.02), kTimes[2]}}};
}

/// A minute of a power that changes twice, from a start at this temperature.
HeatTrace trace(const ThermalParameters& parameters, Celsius start, Watts first, Watts second) {
  ThermalResponse response(parameters, kIdle, start);
  HeatTrace trace{{Seconds(1e-6), kIdle, start}};
  for (int i = 1; i <= 600; ++i) {
    const Watts power = i <= 200 ? first : i <= 400 ? second : kIdle;
    response.advance(power, i * Seconds(0.1) - trace.back().at);
    trace.push_back({i * Seconds(0.1), power, response.temperature()});
  }
  return trace;
}

TEST(PoleFit, FindsTheConstantsWhateverTemperatureATraceStartsAt) {
  const PoleFit fit = fit_poles({trace(card(), Celsius(40), Watts(450), Watts(300)),
                                 trace(card(), Celsius(47), Watts(200), Watts(500))},
                                kIdle, kTimes)
                          .value();
  EXPECT_NEAR(fit.parameters.ambient.value, 38.0, 0.01);
  for (std::size_t k = 0; k < kTimes.size(); ++k) {
    EXPECT_NEAR(fit.parameters.poles[k].resistance.value, card().poles[k].resistance.value, 1e-4);
    EXPECT_EQ(fit.parameters.poles[k].time_constant, kTimes[k]);
  }
  EXPECT_LT(fit.rms, 1e-3);
}

TEST(PoleFit, WholeDegreesLeaveTheirQuantisationAndLittleElse) {
  std::vector<HeatTrace> traces{trace(card(), Celsius(40), Watts(450), Watts(300)),
                                trace(card(), Celsius(47), Watts(200), Watts(500))};
  for (HeatTrace& one : traces) {
    for (HeatSample& sample : one)
      sample.temperature = Celsius(std::round(sample.temperature.value));
  }
  EXPECT_LT(fit_poles(traces, kIdle, kTimes)->rms, 0.35);  // 1 / sqrt(12) = 0.29
}

TEST(PoleFit, APoleThatWouldCoolWithPowerIsLeftOut) {
  HeatTrace cooling{{Seconds(1e-6), kIdle, Celsius(45)}};
  double fast = 130.0, middle = 130.0;
  for (int i = 1; i <= 600; ++i) {
    const double power = i <= 300 ? 400.0 : 130.0;
    fast += (1.0 - std::exp(-0.1 / 0.3)) * (power - fast);
    middle += (1.0 - std::exp(-0.1 / 10.0)) * (power - middle);
    cooling.push_back({i * Seconds(0.1), Watts(power),
                       Celsius(45.0 + 0.02 * (fast - 130.0) - 0.005 * (middle - 130.0))});
  }
  const PoleFit fit = fit_poles({cooling}, kIdle, kTimes).value();
  for (const ThermalPole& pole : fit.parameters.poles) {
    EXPECT_GE(pole.resistance.value, 0.0);
  }
}

TEST(PoleFit, ATraceOfOnePowerTellsNothing) {
  EXPECT_FALSE(fit_poles({trace(card(), Celsius(40), kIdle, kIdle)}, kIdle, kTimes));
  EXPECT_FALSE(fit_poles({{{Seconds(0.1), Watts(300), Celsius(40)}}}, kIdle, kTimes));
}

}  // namespace
}  // namespace thermoe
