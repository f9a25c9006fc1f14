// SPDX-License-Identifier: Apache-2.0
#include "report/strategy_recorder.h"

#include <gtest/gtest.h>

#include <functional>

namespace thermoe {
namespace {

constexpr Seconds kTick{0.1};

/// Records `ticks` ticks whose row `shape` may change; power is what it leaves in the row.
StrategySummary record(const Targets& targets, Seconds disturbed_at, int ticks,
                       const std::function<void(int, MetricsRow&)>& shape) {
  StrategyRecorder recorder(
      {.name = "S",
       .summary = {.targets = targets, .tick = kTick, .disturbed_at = disturbed_at},
       .layers = 1,
       .experts = 2});
  const RoutingStats stats{.layers = 1, .experts = 2, .tokens = 2, .counts = {2, 0}};
  for (int i = 0; i < ticks; ++i) {
    MetricsRow row{.strategy = "S",
                   .at = (i + 1) * kTick,
                   .targets = targets,
                   .truth = {.mean_power = Watts(300), .temperature = Celsius(40)},
                   .step = {.tick = kTick, .step_time = Seconds(0.01), .steps = 10, .tokens = 100},
                   .stats = stats,
                   .quality = {.bits_per_byte = 1.5}};
    shape(i, row);
    if (row.truth.mean_power) row.truth.energy = *row.truth.mean_power * kTick;
    recorder.add(row);
  }
  return recorder.summary();
}

TEST(StrategyRecorder, EnergyTokensAndPowerAgree) {
  const auto s = record({}, Seconds(0), 20, [](int, MetricsRow&) {});
  EXPECT_NEAR(s.tokens_per_second, 1000, 1e-9);
  EXPECT_NEAR(s.mean_power.value, 300, 1e-9);
  EXPECT_NEAR(s.joules_per_token.value(), 0.3, 1e-12);
  EXPECT_NEAR(s.mean_active_experts, 1.0, 1e-12);
  EXPECT_NEAR(s.expert_load_cv.value_or(0), 1.0, 1e-12);
  EXPECT_NEAR(*s.bits_per_byte, 1.5, 1e-12);
  EXPECT_FALSE(s.kl_to_baseline.has_value());
  EXPECT_TRUE(s.targets.empty());
}

TEST(StrategyRecorder, EnergyThatIsNotKnownIsNotZero) {
  const auto s = record({}, Seconds(0), 20, [](int i, MetricsRow& row) {
    if (i % 4 == 0) row.truth.mean_power.reset();
  });
  EXPECT_NEAR(s.energy_share, 0.75, 1e-9);
  EXPECT_NEAR(s.mean_power.value, 300, 1e-9);
  EXPECT_NEAR(s.joules_per_token.value(), 0.3, 1e-12);
  const auto none =
      record({}, Seconds(0), 20, [](int, MetricsRow& row) { row.truth.mean_power.reset(); });
  EXPECT_EQ(none.energy_share, 0.0);
  EXPECT_FALSE(none.joules_per_token);
}

TEST(StrategyRecorder, WhereNoTokenCameThereAreNoJoulesAToken) {
  const auto s = record({}, Seconds(0), 20, [](int, MetricsRow& row) {
    row.step.steps = 0.3;  // of one under way
    row.step.tokens = 0.0;
    row.step.step_time = Seconds(0);
  });
  EXPECT_NEAR(s.mean_power.value, 300, 1e-9);
  EXPECT_FALSE(s.joules_per_token);
  EXPECT_FALSE(s.p50_step);
}

TEST(StrategyRecorder, AStepOfPowerViolatesUntilTheSecondMeanIsBack) {
  // 10 s at the cap, 2 s at cap + 20 %, then at the cap again.
  const auto s = record({.power = Watts(300)}, Seconds(10), 300, [](int i, MetricsRow& row) {
    if (i >= 100 && i < 120) row.truth.mean_power = Watts(360);
  });
  const TargetOutcome& power = s.targets.front();
  // The 1 s mean passes 315 W after 3 ticks (318 W) and falls below it 8 ticks after the end.
  EXPECT_NEAR(power.violation_fraction, (20 - 2 + 7) / 300.0, 1e-12);
  ASSERT_TRUE(power.settling.has_value());
  EXPECT_NEAR(power.settling->value, 2.7, 1e-9);
  EXPECT_NEAR(power.highest, 360, 1e-9);
  EXPECT_FALSE(power.best_held.has_value());
}

TEST(StrategyRecorder, WhatSettlesOnlyWhenTheDisturbanceIsGoneHasNotSettled) {
  StrategyRecorder recorder({.name = "S",
                             .summary = {.targets = {.power = Watts(300)},
                                         .tick = kTick,
                                         .disturbed_at = Seconds(10),
                                         .disturbed_until = Seconds(20)},
                             .layers = 1,
                             .experts = 2});
  const Targets targets{.power = Watts(300)};
  const RoutingStats stats{.layers = 1, .experts = 2, .tokens = 2, .counts = {2, 0}};
  for (int i = 0; i < 400; ++i) {
    MetricsRow row{.strategy = "S", .at = (i + 1) * kTick, .targets = targets, .stats = stats};
    row.truth.mean_power = Watts(i >= 100 && i < 200 ? 360 : 300);
    row.truth.energy = *row.truth.mean_power * kTick;
    recorder.add(row);
  }
  EXPECT_FALSE(recorder.summary().targets.front().settling.has_value());
}

TEST(StrategyRecorder, StartUpCountsAsViolation) {
  const auto s = record({.power = Watts(300)}, Seconds(0), 100, [](int i, MetricsRow& row) {
    if (i < 10) row.truth.mean_power = Watts(400);
  });
  EXPECT_GT(s.targets.front().violation_fraction, 0.1);
}

TEST(StrategyRecorder, ACapOutOfReachReportsTheBestHeld) {
  const auto s = record({.power = Watts(200)}, Seconds(0), 100, [](int i, MetricsRow& row) {
    row.truth.mean_power = Watts(i < 20 ? 400 : 250);
    row.control.saturated = i >= 20;
  });
  ASSERT_TRUE(s.targets.front().best_held.has_value());
  EXPECT_NEAR(*s.targets.front().best_held, 250, 1e-9);
  const Summary summary{.device = "test", .strategies = {s}};
  ASSERT_EQ(notes(summary).size(), 1U);
  EXPECT_EQ(notes(summary)[0],
            "S: the cap of 200 W cannot be reached by routing; the best held was 250 W");
}

TEST(StrategyRecorder, FallbacksAreCountedAsEpisodesWithTheirReasons) {
  const auto s = record({}, Seconds(0), 10, [](int i, MetricsRow& row) {
    if (i == 1 || i == 2) row.control.fallback = "stale";
    if (i == 3) row.control.fallback = "NaN";
    if (i == 6) row.control.fallback = "stale";
  });
  EXPECT_EQ(s.fallbacks, 2);
  EXPECT_NEAR(s.fallback_share, 0.4, 1e-12);
  EXPECT_EQ(s.fallback_reasons, (std::vector<std::string>{"stale", "NaN"}));
}

TEST(StrategyRecorder, TemperatureAndStepTimeTargetsHaveTheirOwnBands) {
  const auto s = record({.temperature = Celsius(40), .step_time = Seconds(0.0095)}, Seconds(0), 100,
                        [](int, MetricsRow& row) { row.truth.temperature = Celsius(40.9); });
  ASSERT_EQ(s.targets.size(), 2U);
  EXPECT_DOUBLE_EQ(s.targets[0].violation_fraction, 0.0);
  EXPECT_DOUBLE_EQ(s.targets[1].violation_fraction, 1.0);  // 10 ms against 9.5 ms
  EXPECT_FALSE(s.targets[1].settling.has_value());
}

TEST(StrategyRecorder, TheFlagOfEveryRowAndTheShareOfTheSummaryAreOneRule) {
  // Each target is exceeded in single ticks, and once for longer than its 1 s mean can hide.
  const std::vector<std::pair<Targets, std::function<void(MetricsRow&)>>> cases = {
      {{.power = Watts(300)}, [](MetricsRow& row) { row.truth.mean_power = Watts(330); }},
      {{.temperature = Celsius(40)}, [](MetricsRow& row) { row.truth.temperature = Celsius(42); }},
      {{.step_time = Seconds(0.01)}, [](MetricsRow& row) { row.step.step_time = Seconds(0.012); }}};
  for (const auto& [targets, exceed] : cases) {
    StrategyRecorder recorder(
        {.name = "S", .summary = {.targets = targets, .tick = kTick}, .layers = 1, .experts = 2});
    const RoutingStats stats{.layers = 1, .experts = 2, .tokens = 2, .counts = {2, 0}};
    int flagged = 0;
    for (int i = 0; i < 200; ++i) {
      MetricsRow row{.at = (i + 1) * kTick,
                     .targets = targets,
                     .truth = {.mean_power = Watts(300), .temperature = Celsius(40)},
                     .step = {.step_time = Seconds(0.01), .steps = 10},
                     .stats = stats};
      if (i % 40 == 20 || (i >= 100 && i < 120)) exceed(row);
      recorder.add(row);
      if (row.violation) ++flagged;
      if (i == 20) {
        EXPECT_FALSE(row.violation) << "a tick is no second";
      }
    }
    EXPECT_GT(flagged, 5);
    EXPECT_LT(flagged, 30);
    EXPECT_DOUBLE_EQ(recorder.summary().targets[0].violation_fraction, flagged / 200.0);
  }
}

TEST(StrategyRecorder, PercentilesCountStepsNotTicks) {
  // Half of the ticks hold one long step each, the other half 99 short ones.
  const auto s = record({}, Seconds(0), 10, [](int i, MetricsRow& row) {
    row.step.step_time = Seconds(i % 2 == 0 ? 0.1 : 0.001);
    row.step.steps = i % 2 == 0 ? 1 : 99;
  });
  EXPECT_DOUBLE_EQ(s.p50_step.value().value, 0.001);
  EXPECT_DOUBLE_EQ(s.p99_step.value().value, 0.001) << "five of 500 steps are long";
}

TEST(StrategyRecorder, TheShareAboveTheTargetItselfIsCountedBesideTheViolation) {
  const auto s = record({.power = Watts(300)}, Seconds(0), 100, [](int i, MetricsRow& row) {
    row.truth.mean_power = Watts(i < 20 ? 330 : i < 60 ? 305 : 295);
  });
  const TargetOutcome& power = s.targets.front();
  EXPECT_NEAR(power.violation_fraction, 0.26, 0.011);
  EXPECT_NEAR(*power.over_target_fraction, 0.65, 0.011);
}

TEST(StrategyRecorder, BaselineBitsAreReportedOnlyWhenEveryTickHasThem) {
  const auto paired =
      record({}, Seconds(0), 4, [](int, MetricsRow& row) { row.quality.baseline_bits = 1.25; });
  EXPECT_NEAR(paired.baseline_bits_per_byte.value_or(0), 1.25, 1e-12);
  const auto broken = record({}, Seconds(0), 4, [](int i, MetricsRow& row) {
    if (i > 0) row.quality.baseline_bits = 1.25;
  });
  EXPECT_FALSE(broken.baseline_bits_per_byte.has_value());
}

}  // namespace
}  // namespace thermoe
