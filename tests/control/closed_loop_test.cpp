// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "control/baseline.h"
#include "control/expert_count.h"
#include "control/static_optimal.h"
#include "loop_fixture.h"

namespace thermoe {
namespace {

using testing::calibrate;
using testing::dual_config;
using testing::kCap;
using testing::mean_of;
using testing::Plant;
using testing::run_loop;
using testing::settling_seconds;
using testing::TruthTick;
using testing::violation_seconds;
using testing::with_tenant;

std::vector<TruthTick> run_dual(const Targets& targets, const Plant& plant, double seconds,
                                std::uint32_t seed = 1) {
  return testing::run_ttha(dual_config(targets), plant, seconds, seed);
}

const Targets kPowerCap{.power = Watts(kCap)};

struct Machine {
  const char* name;
  Plant plant;
};

class HoldsThePowerCap : public ::testing::TestWithParam<Machine> {};

TEST_P(HoldsThePowerCap, ThroughATenantOnAMachineThatTheModelDoesNotKnow) {
  // One start and one tenant, as in a run of 240 s: its 3 % are 7.2 s, a third of which is allowed
  // here.
  const auto log = run_dual(kPowerCap, with_tenant(12.0, 24.0, GetParam().plant), 32.0, 11);
  EXPECT_LE(violation_seconds(log, kCap), 2.4);
  EXPECT_LE(settling_seconds(log, kCap, 12.0), 4.0);
  EXPECT_LE(settling_seconds(log, kCap, 24.0), 4.0);
  const double mean = mean_of(log, &TruthTick::power, 0.0, 32.0);
  EXPECT_GE(mean, 0.95 * kCap);
  EXPECT_LE(mean, 1.01 * kCap);
  for (const TruthTick& t : log) EXPECT_TRUE(t.state.fallback.empty()) << t.state.fallback;
}

INSTANTIATE_TEST_SUITE_P(
    ControlLoop, HoldsThePowerCap,
    ::testing::Values(Machine{"AsModelled", {}}, Machine{"EnergyTimes085", {.energy_scale = 0.85}},
                      Machine{"EnergyTimes115", {.energy_scale = 1.15}},
                      Machine{"IdlePlus20", {.idle = Watts(150.0)}},
                      Machine{"IdleMinus20", {.idle = Watts(110.0)}},
                      Machine{"OneSensorPeriodLater", {.sensor_delay_ticks = 2}},
                      Machine{
                          "DearAndLate",
                          {.idle = Watts(150.0), .energy_scale = 1.15, .sensor_delay_ticks = 2}}),
    [](const auto& info) { return info.param.name; });

INSTANTIATE_TEST_SUITE_P(
    SecondsAverage, HoldsThePowerCap,
    ::testing::Values(
        Machine{"Beside", {.average = true}},
        Machine{
            "BesideDearAndLate",
            {.idle = Watts(150.0), .energy_scale = 1.15, .average = true, .sensor_delay_ticks = 2}},
        Machine{"Alone", {.instant = false, .average = true}},
        // Windows of 25 ms on a wave of 16 ms: 35 W of noise in the instant reading.
        Machine{"BesideAPacedLoad", {.paced = true, .average = true}},
        Machine{"BesideAPacedLoadDearAndLate",
                {.idle = Watts(150.0),
                 .energy_scale = 1.15,
                 .paced = true,
                 .average = true,
                 .sensor_delay_ticks = 2}}),
    [](const auto& info) { return info.param.name; });

TEST(ControlLoop, APacedLoadIsHeldAsQuietlyAsOneThatTheSensorSeesWell) {
  const auto rms = [](const Plant& plant) {
    double sum = 0.0;
    int n = 0;
    const auto log = run_dual(kPowerCap, plant, 40.0, 11);
    for (const TruthTick& t : log) {
      if (t.time < 5.0) continue;
      const double off = mean_of(log, &TruthTick::power, t.time - 1.0, t.time) - kCap;
      sum += off * off, ++n;
    }
    return std::sqrt(sum / n);
  };
  EXPECT_LT(rms({.paced = true, .average = true}), 1.3 * rms({.average = true}));
}

class BelievesAnotherLag : public ::testing::TestWithParam<double> {};

TEST_P(BelievesAnotherLag, AndHoldsThePowerCapAllTheSame) {
  ControllerConfig config = dual_config(kPowerCap);
  config.lag.delay *= GetParam();
  config.lag.window *= GetParam();
  const auto log = testing::run_ttha(config, with_tenant(12.0, 24.0), 32.0, 11);
  EXPECT_LE(violation_seconds(log, kCap), 2.4);
  EXPECT_LE(settling_seconds(log, kCap, 12.0), 4.0);
  EXPECT_LE(settling_seconds(log, kCap, 24.0), 4.0);
  EXPECT_NEAR(mean_of(log, &TruthTick::power, 2.0, 32.0), kCap, 0.02 * kCap);
}

INSTANTIATE_TEST_SUITE_P(ControlLoop, BelievesAnotherLag, ::testing::Values(0.5, 2.0));

TEST(ControlLoop, BaselineDrawsFarMoreThanTheCap) {
  const ControllerConfig config = dual_config({});
  BaselineController controller(config);
  const auto log = run_loop(controller, config, {}, 10.0, 2);
  EXPECT_NEAR(mean_of(log, &TruthTick::power, 0.0, 10.0), 470.0, 15.0);
}

TEST(ControlLoop, SlackIsGivenBack) {
  const auto log = run_dual({.power = Watts(600.0)}, with_tenant(3.0, 6.0), 10.0);
  for (const TruthTick& t : log) EXPECT_EQ(t.state.lambda, 0.0);
  EXPECT_NEAR(log.back().kept_mass, 1.0, 1e-5);
}

TEST(ControlLoop, TheTenantCostsQualityOnlyWhileItStays) {
  const auto log = run_dual(kPowerCap, with_tenant(10.0, 20.0), 30.0, 3);
  const double before = mean_of(log, &TruthTick::kept_mass, 3.0, 10.0);
  const double during = mean_of(log, &TruthTick::kept_mass, 13.0, 20.0);
  const double after = mean_of(log, &TruthTick::kept_mass, 23.0, 30.0);
  EXPECT_LT(during, before - 0.02);
  EXPECT_NEAR(after, before, 0.01);
}

TEST(ControlLoop, StaticOptimalHoldsTheCapUntilTheTenantComes) {
  ControllerConfig config = dual_config(kPowerCap);
  calibrate(config, 4, 12);
  StaticOptimalController controller(config);
  EXPECT_FALSE(controller.state().saturated);
  const auto log = run_loop(controller, config, with_tenant(10.0, 20.0), 20.0, 4);
  EXPECT_NEAR(mean_of(log, &TruthTick::power, 1.0, 10.0), kCap, 0.02 * kCap);
  EXPECT_GT(mean_of(log, &TruthTick::power, 11.0, 20.0), 1.05 * kCap);
}

TEST(ControlLoop, RivalsHoldTheSameCapAndKeepLessMass) {
  const auto kept = [](const std::vector<TruthTick>& log) {
    return mean_of(log, &TruthTick::kept_mass, 5.0, 28.0);
  };
  const auto run_rival = [](Strategy strategy) {
    ControllerConfig config = dual_config(kPowerCap);
    config.strategy = strategy;
    ExpertCountController controller(config);
    auto log = run_loop(controller, config, with_tenant(10.0, 20.0), 28.0, 5);
    EXPECT_LE(violation_seconds(log, kCap), 2.4) << to_string(strategy);
    EXPECT_LE(settling_seconds(log, kCap, 10.0), 4.0) << to_string(strategy);
    EXPECT_NEAR(mean_of(log, &TruthTick::power, 0.0, 28.0), 0.98 * kCap, 0.03 * kCap);
    return log;
  };
  const double dual = kept(run_dual(kPowerCap, with_tenant(10.0, 20.0), 28.0, 5));
  const double opportunistic = kept(run_rival(Strategy::kOpportunistic));
  const double reduced = kept(run_rival(Strategy::kReducedK));
  EXPECT_GT(dual, opportunistic + 0.005);
  EXPECT_GT(opportunistic, reduced + 0.01);
}

TEST(ControlLoop, ARivalWhoseModelTakesOneExpertDoesNothing) {
  for (const Strategy strategy : {Strategy::kReducedK, Strategy::kOpportunistic}) {
    ControllerConfig config =
        testing::dual_config({.power = Watts(140.0)}, {.layers = 1, .experts = 16, .k = 1});
    config.strategy = strategy;
    ExpertCountController controller(config);
    const auto log = run_loop(controller, config, {}, 3.0, 6);
    EXPECT_TRUE(log.back().state.saturated);
    EXPECT_TRUE(log.back().state.fallback.empty()) << log.back().state.fallback;
    EXPECT_DOUBLE_EQ(mean_of(log, &TruthTick::kept_mass, 0.0, 3.0), 1.0);
  }
}

TEST(ControlLoop, ACapOutOfReachIsSaidAndTheFloorIsHeld) {
  const auto log = run_dual({.power = Watts(150.0)}, {}, 10.0);
  EXPECT_TRUE(log.back().state.saturated);
  EXPECT_LT(mean_of(log, &TruthTick::active, 5.0, 10.0), 17.0);  // one expert a token, at most
  EXPECT_TRUE(log.back().state.fallback.empty());
}

TEST(ControlLoop, HoldsAStepTimeForNineteenTicksOfTwentyThroughATenant) {
  const ControllerConfig config = dual_config({});
  BaselineController baseline(config);
  const auto free = run_loop(baseline, config, {}, 5.0, 6);
  const double cap = 0.8 * mean_of(free, &TruthTick::step_time, 0.0, 5.0);
  const auto log = run_dual({.step_time = Seconds(cap)}, with_tenant(15.0, 30.0), 45.0, 6);
  for (const auto& [from, to] : {std::pair{3.0, 15.0}, {18.0, 30.0}, {33.0, 45.0}}) {
    EXPECT_LE(share_above(log, 1.02 * cap, from, to), 0.05) << "from " << from << " s";
    EXPECT_GE(share_above(log, 0.96 * cap, from, to), 0.05)
        << "no lower than need be, from " << from;
  }
}

struct Cooling {
  const char* name;
  Plant plant;
};
class HoldsTheTemperature : public ::testing::TestWithParam<Cooling> {};

TEST_P(HoldsTheTemperature, WithinOneDegreeWithATwoPolePlantAndAOneDegreeSensor) {
  const Plant plant = with_tenant(45.0, 60.0, GetParam().plant);
  const double cap = 43.0 + 0.047 * 470.0 - 3.0;
  const auto log = run_dual({.temperature = Celsius(cap)}, plant, 90.0, 8);
  for (const TruthTick& t : log) EXPECT_LE(t.temperature, cap + 1.0) << "at " << t.time << " s";
  EXPECT_NEAR(mean_of(log, &TruthTick::temperature, 35.0, 45.0), cap, 1.0);
  EXPECT_NEAR(mean_of(log, &TruthTick::temperature, 50.0, 60.0), cap, 1.0);
  EXPECT_NEAR(mean_of(log, &TruthTick::temperature, 65.0, 90.0), cap, 1.0);
  EXPECT_GT(log.back().state.lambda, 0.0);
}

INSTANTIATE_TEST_SUITE_P(
    ControlLoop, HoldsTheTemperature,
    ::testing::Values(
        Cooling{"AsFitted", {}},
        Cooling{"SlowHeatsink",
                {.fast_resistance = 0.022, .slow_resistance = 0.025, .slow_time = 25.0}},
        Cooling{"WarmerRoom", {.ambient_step = Celsius(4.0), .ambient_from = Seconds(65.0)}}),
    [](const auto& info) { return info.param.name; });

TEST(ControlLoop, OfSeveralTargetsTheTightestWins) {
  const ControllerConfig config = dual_config({});
  BaselineController baseline(config);
  const double step =
      mean_of(run_loop(baseline, config, {}, 5.0, 9), &TruthTick::step_time, 0.0, 5.0);
  // The power cap binds; the others have slack.
  const auto power =
      run_dual({.power = Watts(300.0), .temperature = Celsius(80.0), .step_time = Seconds(step)},
               {}, 10.0, 9);
  EXPECT_NEAR(mean_of(power, &TruthTick::power, 3.0, 10.0), 300.0, 6.0);
  // The step time binds.
  const auto time = run_dual(
      {.power = Watts(460.0), .temperature = Celsius(80.0), .step_time = Seconds(0.6 * step)}, {},
      10.0, 9);
  EXPECT_LE(share_above(time, 1.02 * 0.6 * step, 3.0, 10.0), 0.05);
  EXPECT_GE(share_above(time, 0.95 * 0.6 * step, 3.0, 10.0), 0.05);
}

}  // namespace
}  // namespace thermoe
