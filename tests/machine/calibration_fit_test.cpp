// SPDX-License-Identifier: Apache-2.0
#include "machine/calibration/calibration_fit.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

constexpr double kIdle = 125.0;

CalibrationLevel rest(double watts) {
  return {.window = {.length = Seconds(2)}, .power = Watts(watts)};
}

/// A window of steps of `energy` joules, one each `period`, whose power is `off` watts wrong.
CalibrationLevel level(int active, double energy, double period, double off = 0.0) {
  return {.window = {.active = active, .period = Seconds(period), .length = Seconds(3)},
          .active = static_cast<double>(active),
          .step_time = Seconds(1e-4 * active),
          .step_spread = 0.01,
          .spacing = Seconds(period),
          .steps = 100,
          .power = Watts(kIdle + energy / period + off)};
}

std::vector<CalibrationLevel> sound_levels() {
  std::vector<CalibrationLevel> levels{rest(118.0), rest(120.0)};
  // Energies on no line: the fit supposes none.
  const std::vector<std::pair<int, double>> works = {{8, 1.0}, {64, 2.5}, {128, 6.0}};
  for (const auto& [active, energy] : works) {
    for (const double period : {0.016, 0.032, 0.016}) {
      levels.push_back(level(active, energy, period));
    }
  }
  return levels;
}

TEST(CalibrationFit, FindsIdleAndEveryEnergyExactly) {
  const CalibrationFit fit = fit_calibration(sound_levels(), Seconds(0.016));
  EXPECT_NEAR(fit.idle_active.value, kIdle, 1e-9);
  EXPECT_NEAR(fit.idle_cold.value, 119.0, 1e-12);
  ASSERT_EQ(fit.steps.size(), 3U);
  EXPECT_EQ(fit.steps[1].active, 64.0);
  EXPECT_NEAR(fit.steps[0].energy.value, 1.0, 1e-9);
  EXPECT_NEAR(fit.steps[1].energy.value, 2.5, 1e-9);
  EXPECT_NEAR(fit.steps[2].energy.value, 6.0, 1e-9);
  EXPECT_NEAR(fit.steps[2].latency.value, 0.0128, 1e-12);
  EXPECT_NEAR(fit.steps[2].power.value, 500.0, 1e-9);
  EXPECT_NEAR(fit.residual_max.value, 0.0, 1e-9);
  EXPECT_EQ(fit.steps[0].steps, 200);
}

TEST(CalibrationFit, WhatWindowsDifferByShowsInSpreadAndResiduals) {
  auto levels = sound_levels();
  levels[8].power += Watts(5.0);   // the first of D=128 at 0.016 s
  levels[10].power -= Watts(5.0);  // and the second
  const CalibrationFit fit = fit_calibration(levels, Seconds(0.016));
  EXPECT_NEAR(fit.idle_active.value, kIdle, 1e-9);
  EXPECT_NEAR(fit.steps[2].energy.value, 6.0, 1e-9);
  EXPECT_NEAR(fit.steps[2].energy_spread, 5.0 * 0.016 / 6.0, 1e-9);
  EXPECT_EQ(fit.steps[1].energy_spread, 0.0);
  EXPECT_NEAR(fit.residual_max.value, 5.0, 1e-9);
  EXPECT_NEAR(fit.residual_rms.value, 5.0 * std::sqrt(2.0 / 9.0), 1e-9);
}

TEST(CalibrationFit, LatencyAndEnergyAreThoseOfTheExperimentsRate) {
  auto levels = sound_levels();
  levels[9].step_time = Seconds(1.0);  // D=128 at the longer period
  const CalibrationFit fit = fit_calibration(levels, Seconds(0.016));
  EXPECT_NEAR(fit.steps[2].latency.value, 0.0128, 1e-12);
}

TEST(CalibrationFit, PrecisionsHaveEnergiesOfTheirOwnAndOneIdle) {
  auto levels = sound_levels();
  for (const double period : {0.016, 0.032, 0.016}) {
    levels.push_back(level(64, 1.5, period));
    levels.back().window.variant = 1;
  }
  const CalibrationFit fit = fit_calibration(levels, Seconds(0.016));
  ASSERT_EQ(fit.steps.size(), 4U);
  EXPECT_EQ(fit.steps[3].variant, 1);
  EXPECT_NEAR(fit.steps[1].energy.value, 2.5, 1e-9);
  EXPECT_NEAR(fit.steps[3].energy.value, 1.5, 1e-9);
}

TEST(CalibrationFit, OneRateCannotTellIdleFromWork) {
  auto levels = sound_levels();
  for (auto& l : levels) l.spacing = Seconds(0.016);
  try {
    fit_calibration(levels, Seconds(0.016));
    FAIL() << "steps at one rate";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("at one rate whatever the period"));
  }
}

TEST(CalibrationFit, WhatCannotBeIsRefused) {
  auto levels = sound_levels();
  for (auto& l : levels) {
    if (!l.window.idle()) l.power -= Watts(kIdle + 10.0);
  }
  EXPECT_THROW(fit_calibration(levels, Seconds(0.016)), Error) << "negative idle";
  auto backwards = sound_levels();
  for (auto& l : backwards) {
    if (l.window.active == 8) l.power = Watts(60.0);
  }
  EXPECT_THROW(fit_calibration(backwards, Seconds(0.016)), Error) << "work that saves energy";
}

}  // namespace
}  // namespace thermoe
