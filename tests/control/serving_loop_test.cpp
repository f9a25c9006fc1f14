// SPDX-License-Identifier: Apache-2.0
#include "serving_loop.h"

#include <gtest/gtest.h>

#include <limits>

#include "control/controller_without_adapter.h"
#include "core/errors.h"

namespace thermoe {
namespace {

using testing::ServedTick;
using testing::serving_config;
using testing::ServingLoop;
using testing::ServingPlant;
using testing::ServingSabotage;

using Log = std::vector<ServedTick>;

Log serve(const ControllerConfig& config, const ServingPlant& plant = {}, double seconds = 60.0,
          const ServingSabotage& sabotage = {}) {
  const auto controller = controller_without_adapter(config);
  return ServingLoop(*controller, config, plant, 7).run(seconds, sabotage);
}
Log serve(Strategy strategy, const Targets& targets, const ServingPlant& plant = {},
          double seconds = 60.0) {
  return serve(serving_config(strategy, targets), plant, seconds);
}

template <class Get>
double mean(const Log& log, double from, double to, Get get) {
  double sum = 0.0;
  int n = 0;
  for (const ServedTick& t : log) {
    if (t.time > from + 1e-6 && t.time < to + 1e-6) sum += get(t), ++n;
  }
  return n > 0 ? sum / n : 0.0;
}
double watts(const Log& log, double from = 30.0, double to = 60.0) {
  return mean(log, from, to, [](const ServedTick& t) { return t.power; });
}
double lambda(const Log& log, double from = 30.0, double to = 60.0) {
  return mean(log, from, to, [](const ServedTick& t) { return t.state.lambda; });
}
double batch(const Log& log, double from = 30.0, double to = 60.0) {
  return mean(log, from, to, [](const ServedTick& t) { return t.batch; });
}
double kept(const Log& log, double from = 30.0, double to = 60.0) {
  return mean(log, from, to, [](const ServedTick& t) { return t.kept_mass; });
}
double period_ms(const Log& log, double from = 30.0, double to = 60.0) {
  return 1e3 * mean(log, from, to, [](const ServedTick& t) { return t.period; });
}
/// Mean time between tokens, by token.
double gap_ms(const Log& log, double from = 30.0, double to = 60.0) {
  const double tokens = mean(log, from, to, [](const ServedTick& t) { return t.served; });
  return 1e3 * mean(log, from, to, [](const ServedTick& t) { return t.served * t.gap; }) / tokens;
}
PeriodLimit limit(const Log& log) { return log.back().state.pacing->period_limit; }

ServingPlant at_rate(double tokens_per_second) {
  return {.rate = [=](double) { return tokens_per_second; }};
}

constexpr Targets between_tokens(double seconds) { return {.between_tokens = Seconds(seconds)}; }
constexpr Targets capped(double watts) { return {.power = Watts(watts)}; }
constexpr Targets capped(double watts, double seconds) {
  return {.power = Watts(watts), .between_tokens = Seconds(seconds)};
}

TEST(ServingLoop, WithoutALatencyTargetAPriceTakesNothingFromLatencyAndGivesNothingBack) {
  const Log plain = serve(Strategy::kBaseline, {});
  const Log priced = serve(Strategy::kKernelAwareTtha, capped(350.0));
  EXPECT_NEAR(watts(priced), 348.0, 5.0);
  EXPECT_GT(lambda(priced), 0.01);
  EXPECT_NEAR(gap_ms(priced), gap_ms(plain), 0.05 * gap_ms(plain));
  EXPECT_NEAR(batch(priced), batch(plain), 0.05 * batch(plain));
  EXPECT_EQ(limit(priced), PeriodLimit::kStepTime);
}

TEST(ServingLoop, WithoutAPeriodAPriceMakesSmallerBatchesAndLosesMoreForTheSameCap) {
  const Log paced = serve(Strategy::kKernelAwareTtha, capped(350.0));
  const Log price = serve(Strategy::kPriceAlone, capped(350.0));
  EXPECT_LT(batch(price), 0.6 * batch(paced));
  EXPECT_LT(kept(price), kept(paced) - 0.1);
  EXPECT_EQ(period_ms(price), 0.0);
  EXPECT_FALSE(price.back().state.pacing);
}

TEST(ServingLoop, ALatencyTargetIsSpentOnWattsAndMetInTheMeanWithStepsThatReadPrompts) {
  const Log free = serve(Strategy::kKernelAwareTtha, {});
  const Log slow = serve(Strategy::kKernelAwareTtha, between_tokens(0.024));
  EXPECT_LT(watts(slow), watts(free) - 40.0);
  EXPECT_LE(gap_ms(slow), 24.0);
  EXPECT_GE(gap_ms(slow), 23.5);
  EXPECT_EQ(lambda(slow), 0.0);
  EXPECT_EQ(limit(slow), PeriodLimit::kLatency);
  EXPECT_NEAR(slow.back().state.pacing->batch, batch(slow), 1.0);
  EXPECT_NEAR(slow.back().state.pacing->power->value, watts(slow), 0.04 * watts(slow));
}

TEST(ServingLoop, AtHalfTheLoadAPeriodThatSavesNothingIsNotTaken) {
  // 16 -> 24 ms saved nothing on the engine: a batch of 7 runs in a graph of 8 rows, one of 11 in
  // one of 16.
  const Log log = serve(Strategy::kKernelAwareTtha, between_tokens(0.024), at_rate(443.0));
  EXPECT_GT(period_ms(log), 15.0);
  EXPECT_LT(period_ms(log), 18.5);
  EXPECT_EQ(limit(log), PeriodLimit::kSaving);
  EXPECT_LT(watts(log), watts(serve(Strategy::kBaseline, {}, at_rate(443.0))) - 80.0);
}

TEST(ServingLoop, WhereBatchesVaryAGraphsEndIsNoEdge) {
  // Means over minutes: of single windows of 17 s such watts differ by tens.
  ServingPlant plant = at_rate(443.0);
  plant.random = true;
  ControllerConfig config = serving_config(Strategy::kBaseline, {});
  const auto at_period = [&](double seconds) {
    config.step_period = Seconds(seconds);
    return watts(serve(config, plant, 300.0), 20.0, 300.0);
  };
  EXPECT_LT(at_period(0.024), at_period(0.018) - 5.0);
  const Log log = serve(Strategy::kKernelAwareTtha, between_tokens(0.024), plant, 120.0);
  EXPECT_GT(period_ms(log, 60.0, 120.0), 21.0);
  EXPECT_LE(gap_ms(log, 30.0, 120.0), 24.2);
}

TEST(ServingLoop, ThePeriodStandsStillOnceTheBatchHasSettled) {
  for (const double rate : {443.0, 825.0}) {
    const Log log = serve(Strategy::kKernelAwareTtha, capped(380.0, 0.024), at_rate(rate));
    const double usual = period_ms(log);
    for (const ServedTick& t : log) {
      if (t.time <= 30.0) continue;
      EXPECT_NEAR(1e3 * t.period, usual, 0.03 * usual) << t.time;
    }
  }
}

TEST(ServingLoop, ACapThatThePeriodMeetsCostsNoQuality) {
  const Log log = serve(Strategy::kKernelAwareTtha, capped(450.0, 0.024));
  EXPECT_EQ(lambda(log), 0.0);
  EXPECT_LT(watts(log), 450.0);
}

TEST(ServingLoop, ATighterCapIsHeldByThePriceWithThePeriodAtItsLimit) {
  const Log log = serve(Strategy::kKernelAwareTtha, capped(350.0, 0.024));
  EXPECT_NEAR(watts(log), 348.0, 5.0);
  EXPECT_GT(lambda(log), 0.0);
  EXPECT_EQ(limit(log), PeriodLimit::kLatency);
  EXPECT_LE(gap_ms(log), 24.0);
  EXPECT_FALSE(log.back().state.saturated);
  // Without the latency to spend the same cap costs more.
  EXPECT_GT(kept(log), kept(serve(Strategy::kKernelAwareTtha, capped(350.0))) + 0.02);
}

TEST(ServingLoop, PacingAloneMeetsACapByTheShortestPeriodThatDoes) {
  const Log log = serve(Strategy::kPacingAlone, capped(450.0));
  EXPECT_NEAR(watts(log), 447.0, 7.0);
  EXPECT_EQ(lambda(log), 0.0);
  EXPECT_EQ(limit(log), PeriodLimit::kCap);
  EXPECT_FALSE(log.back().state.saturated);
}

TEST(ServingLoop, PacingAloneSaysWhereItsLimitsLeaveACapUnmet) {
  const Log late = serve(Strategy::kPacingAlone, capped(350.0, 0.024));
  EXPECT_TRUE(late.back().state.saturated);
  EXPECT_EQ(limit(late), PeriodLimit::kLatency);
  EXPECT_LE(gap_ms(late), 24.0);
  const Log full = serve(Strategy::kPacingAlone, capped(350.0), at_rate(1500.0));
  EXPECT_TRUE(full.back().state.saturated);
  EXPECT_EQ(limit(full), PeriodLimit::kBatchLimit);
  EXPECT_LT(batch(full), 60.0);
}

TEST(ServingLoop, ThroughputAsksForNoPeriod) {
  ControllerConfig config = serving_config(Strategy::kKernelAwareTtha, between_tokens(0.024));
  config.objective = Objective::kThroughput;
  const Log log = serve(config);
  EXPECT_EQ(period_ms(log, 0.0), 0.0);
  EXPECT_EQ(limit(log), PeriodLimit::kObjective);
  config = serving_config(Strategy::kPacingAlone, capped(300.0));  // that has no other lever
  config.objective = Objective::kThroughput;
  EXPECT_TRUE(serve(config, {}, 5.0).back().state.saturated);
}

TEST(ServingLoop, ALatencyThatBaselineBreaksIsMetByThePrice) {
  const Log log = serve(Strategy::kKernelAwareTtha, between_tokens(0.012));
  EXPECT_GT(gap_ms(serve(Strategy::kBaseline, {})), 15.0);
  EXPECT_GT(lambda(log), 0.0);
  EXPECT_NEAR(gap_ms(log), 11.94, 0.1);
  EXPECT_FALSE(log.back().state.saturated);
}

TEST(ServingLoop, ALatencyBelowWhatIsPossibleIsSaidAndTheBestIsHeld) {
  ControllerConfig config = serving_config(Strategy::kKernelAwareTtha, between_tokens(0.007));
  config.k_min = 4;
  const Log log = serve(config);
  EXPECT_TRUE(log.back().state.saturated);
  EXPECT_TRUE(log.back().state.fallback.empty()) << log.back().state.fallback;
  EXPECT_LT(gap_ms(log), 0.75 * gap_ms(serve(Strategy::kBaseline, {})));
}

TEST(ServingLoop, ABurstBeyondTheBatchLimitIsServedAsFastAsItGoes) {
  const ServingPlant plant{.rate = [](double t) { return t > 20.0 && t < 35.0 ? 4000.0 : 443.0; }};
  const auto served = [](const Log& log) {
    return mean(log, 20.0, 50.0, [](const ServedTick& t) { return t.served; });
  };
  const Log plain = serve(Strategy::kBaseline, {}, plant, 80.0);
  const Log log = serve(Strategy::kKernelAwareTtha, between_tokens(0.03), plant, 80.0);
  EXPECT_GE(served(log), 0.98 * served(plain));
  EXPECT_EQ(mean(log, 33.0, 35.0, [](const ServedTick& t) { return t.period; }), 0.0);
  EXPECT_GT(period_ms(log, 70.0, 80.0), 15.0);
}

TEST(ServingLoop, AnEngineWithoutRequestsIsWaitedFor) {
  const ServingPlant plant{.rate = [](double t) { return t > 10.0 && t < 40.0 ? 0.0 : 825.0; },
                           .noise = 0.0,  // at rest the reading stands still
                           .start_batch = 0.0};
  for (const Strategy strategy : {Strategy::kKernelAwareTtha, Strategy::kPacingAlone}) {
    const Log log = serve(strategy, capped(450.0, 0.024), plant, 70.0);
    for (const ServedTick& t : log) {
      ASSERT_TRUE(std::isfinite(t.period) && t.period >= 0.0 && t.period < 0.1) << t.time;
      ASSERT_TRUE(t.state.fallback.empty()) << t.state.fallback;
    }
    EXPECT_NEAR(watts(log, 35.0, 39.0), 130.0, 1.0);
    EXPECT_LE(watts(log, 60.0, 70.0), 455.0);
    EXPECT_LE(gap_ms(log, 50.0, 70.0), 24.2);
  }
}

TEST(ServingLoop, ATenantIsCarriedByThePriceAndTheCapHeld) {
  const ServingPlant plant{.tenant_from = 30.0, .tenant_to = 50.0};
  const Log log = serve(Strategy::kKernelAwareTtha, capped(380.0, 0.024), plant, 70.0);
  for (const auto& [from, to] : {std::pair{20.0, 30.0}, {33.0, 50.0}, {53.0, 70.0}}) {
    EXPECT_NEAR(watts(log, from, to), 378.0, 8.0) << from;
    EXPECT_LE(gap_ms(log, from, to), 24.3) << from;
  }
  EXPECT_GT(lambda(log, 33.0, 50.0), lambda(log, 20.0, 30.0));
}

TEST(ServingLoop, FirstTokensThatAreLateTakeThePeriodBack) {
  // Half a period and a step that reads a prompt: 12 + 27 ms at a period of 24 ms.
  Targets targets = between_tokens(0.024);
  const Log free = serve(Strategy::kKernelAwareTtha, targets);
  targets.to_first_token = Seconds(0.036);
  const Log log = serve(Strategy::kKernelAwareTtha, targets, {}, 90.0);
  EXPECT_LT(period_ms(log, 60.0, 90.0), period_ms(free) - 1.0);
  EXPECT_GT(period_ms(log, 60.0, 90.0), 12.0);
  EXPECT_EQ(limit(log), PeriodLimit::kFirstToken);
  EXPECT_FALSE(log.back().state.saturated);
  targets.to_first_token = Seconds(0.010);  // no step is as short
  const Log never = serve(Strategy::kKernelAwareTtha, targets);
  EXPECT_TRUE(never.back().state.saturated);
  EXPECT_EQ(never.back().period, 0.0);
}

TEST(ServingLoop, RivalsPaceAsKernelAwareDoesAndStaticOptimalAtThePeriodOfItsReference) {
  const Targets targets = capped(380.0, 0.024);
  const double ours = period_ms(serve(Strategy::kKernelAwareTtha, targets));
  for (const Strategy strategy : {Strategy::kReducedK, Strategy::kOpportunistic}) {
    const Log log = serve(strategy, targets);
    EXPECT_NEAR(period_ms(log), ours, 0.02 * ours) << to_string(strategy);
    EXPECT_NEAR(watts(log), 378.0, 6.0) << to_string(strategy);
  }
  ControllerConfig config = serving_config(Strategy::kStaticOptimal, targets);
  testing::LogitSource source(config.layers, 24, config.router.experts, 7);
  for (int i = 0; i < 8; ++i) config.calibration.push_back(source.next());
  const Log fixed = serve(config);
  EXPECT_DOUBLE_EQ(fixed.back().period, 0.024);
  EXPECT_GT(lambda(fixed), 0.0);
  EXPECT_NEAR(watts(fixed), 380.0, 25.0);
}

TEST(ServingLoop, WhatAnEngineReportsWrongOrNotAtAllMovesNoPeriod) {
  const ControllerConfig config = serving_config(Strategy::kKernelAwareTtha, capped(380.0, 0.024));
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const auto wrong = [nan](double time, StepMetrics& metrics) {
    if (time > 20.0 && time <= 23.0) metrics.serving->between_tokens = {{Seconds(nan), 4.0}};
    if (time > 23.0 && time <= 26.0) metrics.serving->batch = -1.0;
  };
  const Log log = serve(config, {}, 40.0, wrong);
  const double before = log[195].period;
  for (std::size_t i = 201; i < 259; ++i) {
    EXPECT_NEAR(log[i].period, before, 0.02 * before);
    EXPECT_NE(log[i].state.fallback.find("the engine reported"), std::string::npos) << i;
  }
  EXPECT_TRUE(log.back().state.fallback.empty());
  const auto absent = [](double time, StepMetrics& metrics) {
    if (time > 20.0) metrics.serving.reset();
  };
  for (const ServedTick& t : serve(config, {}, 30.0, absent)) {
    ASSERT_TRUE(std::isfinite(t.period));
    if (t.time <= 20.0) continue;
    EXPECT_NEAR(t.period, before, 0.02 * before);
  }
}

TEST(ServingLoop, StrategiesAndTargetsOfAnEngineAreRefusedWithoutOne) {
  for (const Strategy strategy :
       {Strategy::kPriceAlone, Strategy::kPacingAlone, Strategy::kLargerBatch}) {
    ControllerConfig config = serving_config(strategy, {});
    EXPECT_NO_THROW(check(config));
    config.engine.reset();
    EXPECT_THROW(check(config), UsageError) << to_string(strategy);
  }
  ControllerConfig config = serving_config(Strategy::kKernelAwareTtha, between_tokens(0.02));
  EXPECT_NO_THROW(check(config));
  config.batch_costs.reset();
  EXPECT_THROW(check(config), UsageError);
  config.engine.reset();
  EXPECT_THROW(check(config), UsageError);
}

}  // namespace
}  // namespace thermoe
