// SPDX-License-Identifier: Apache-2.0
#include "cost/perturbation.h"

#include <gtest/gtest.h>

#include <limits>

namespace thermoe {
namespace {

Perturbation both() {
  return {.thermal = ThermalPerturbation{.reference = Celsius(45), .energy_per_c = 0.002},
          .power = PowerPerturbation{.limit = Watts(700), .knee = 0.95, .slope = 8.0}};
}

TEST(CostPerturbation, AHotGpuCostsMoreEnergy) {
  EXPECT_DOUBLE_EQ(both().factors(Celsius(65), std::nullopt).energy, 1.04);
  EXPECT_DOUBLE_EQ(both().factors(Celsius(35), std::nullopt).energy, 0.98);
  EXPECT_DOUBLE_EQ(both().factors(Celsius(65), std::nullopt).latency, 1.0);
}

TEST(CostPerturbation, AGpuAtItsPowerLimitIsSlower) {
  EXPECT_DOUBLE_EQ(both().factors(std::nullopt, Watts(600)).latency, 1.0);
  EXPECT_NEAR(both().factors(std::nullopt, Watts(700)).latency, 1.4, 1e-12);
}

TEST(CostPerturbation, WhatWasNotMeasuredChangesNothing) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const auto& f :
       {both().factors(std::nullopt, std::nullopt), both().factors(Celsius(nan), Watts(nan)),
        Perturbation{}.factors(Celsius(90), Watts(700))}) {
    EXPECT_EQ(f.energy, 1.0);
    EXPECT_EQ(f.latency, 1.0);
  }
}

TEST(CostPerturbation, NoReadingTurnsACostNegative) {
  EXPECT_GT(both().factors(Celsius(-1e6), std::nullopt).energy, 0.0);
}

TEST(CostPerturbation, AppliesToEveryPartOfAStep) {
  StepCost step{.layer_constant = {Seconds(1), Joules(2), Celsius(4)}};
  step.variants = {CostCurve({{.tokens = 1, .cost = {Seconds(10), Joules(20), Celsius(40)}}})};
  const StepCost changed = PerturbationFactors{.latency = 2.0, .energy = 3.0}.apply(step);
  EXPECT_EQ(changed.layer_constant.latency, Seconds(2));
  EXPECT_EQ(changed.layer_constant.energy, Joules(6));
  EXPECT_EQ(changed.variants[0].activation().latency, Seconds(20));
  EXPECT_EQ(changed.variants[0].activation().energy, Joules(60));
  EXPECT_EQ(changed.variants[0].activation().heat, Celsius(120));
}

}  // namespace
}  // namespace thermoe
