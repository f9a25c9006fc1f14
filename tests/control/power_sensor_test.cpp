// SPDX-License-Identifier: Apache-2.0
#include "control/power_sensor.h"

#include <gtest/gtest.h>

#include <cmath>
#include <string>

#include "control/hardware_tracker.h"
#include "loop_fixture.h"

namespace thermoe {
namespace {

using testing::dual_config;
using testing::kCap;
using testing::mean_of;
using testing::Plant;
using testing::Sabotage;
using testing::TruthTick;

/// A sensor as bought: its steps, how often it is updated, and what the machine does under it.
struct Sensor {
  std::string name;
  Plant plant;
};

/// The same logits each tick and no noise but what the test wants: the reading may stand still.
Plant steady(double step, int period_ticks, double noise = 0.0) {
  return {.demand_noise = noise,
          .aliasing = 0.0,
          .sensor_step = Watts(step),
          .sensor_period_ticks = period_ticks,
          .steady = true};
}

Plant noisy(double step, int period_ticks) {
  return {.sensor_step = Watts(step), .sensor_period_ticks = period_ticks};
}

ControllerConfig sensor_config(double cap) {
  return dual_config({.power = Watts(cap)}, {.layers = 1});
}

class HealthySensors : public ::testing::TestWithParam<Sensor> {};

TEST_P(HealthySensors, AreNeverCalledFrozenAndTheCapIsHeld) {
  const auto log = testing::run_ttha(sensor_config(kCap), GetParam().plant, 60.0, 3);
  for (const TruthTick& t : log) {
    ASSERT_TRUE(t.state.fallback.empty()) << "at " << t.time << " s: " << t.state.fallback;
  }
  EXPECT_NEAR(mean_of(log, &TruthTick::power, 10.0, 60.0), kCap, 0.02 * kCap);
}

TEST_P(HealthySensors, AreNotCalledFrozenWhereThereIsSlackEither) {
  const auto log = testing::run_ttha(sensor_config(600.0), GetParam().plant, 30.0, 3);
  for (const TruthTick& t : log) {
    ASSERT_TRUE(t.state.fallback.empty()) << "at " << t.time << " s: " << t.state.fallback;
  }
}

Plant wrong_table(Plant plant) {
  plant.energy_scale = 1.15;
  plant.idle = Watts(150.0);
  return plant;
}

INSTANTIATE_TEST_SUITE_P(PowerSensor, HealthySensors,
                         ::testing::Values(Sensor{"OneWattSteady", steady(1.0, 1)},
                                           Sensor{"FiveWattsSteady", steady(5.0, 1)},
                                           Sensor{"OneSecondSteady", steady(0.001, 10)},
                                           Sensor{"FiveWattsOneSecondSteady", steady(5.0, 10)},
                                           Sensor{"OneWattNearlySteady", steady(1.0, 1, 0.002)},
                                           Sensor{"FiveWattsNearlySteady", steady(5.0, 1, 0.01)},
                                           Sensor{"FiveWattsOfAWrongTable",
                                                  wrong_table(steady(5.0, 1))},
                                           Sensor{"FiveWattsNoisy", noisy(5.0, 1)},
                                           Sensor{"OneSecondNoisy", noisy(1.0, 10)}),
                         [](const auto& info) { return info.param.name; });

/// Holds the sensor at what it showed at `from`.
Sabotage freeze(double from) {
  return [=, frozen = Reading<Watts>{}](double time, Snapshot& s, LogitSample&) mutable {
    auto& power = s.gpus[0].power_instant;
    if (!power.value) return;
    if (time < from || !frozen.value) frozen = power;
    power = frozen;
    power.read_at = Seconds(time);
  };
}

/// When the controller first says that the sensor is frozen; 1e9 if it never does.
double found_at(const Plant& plant, double from, double seconds) {
  const auto log = testing::run_ttha(sensor_config(kCap), plant, seconds, 3, freeze(from));
  for (const TruthTick& t : log) {
    if (t.state.fallback.find("frozen") != std::string::npos) return t.time;
  }
  return 1e9;
}

TEST(FrozenSensors, AreFoundFromTheStart) {
  EXPECT_LT(found_at(noisy(0.0, 1), 0.0, 10.0), 3.0);
  EXPECT_LT(found_at(steady(1.0, 1), 0.0, 10.0), 3.0);
  EXPECT_LT(found_at(steady(5.0, 1), 0.0, 10.0), 3.0);
}

TEST(FrozenSensors, StayFrozenUntilTheyChange) {
  // BASELINE brings the model back to where the sensor stopped: that is no recovery.
  const auto log = testing::run_ttha(sensor_config(kCap), steady(5.0, 1), 20.0, 3, freeze(0.0));
  for (const TruthTick& t : log) {
    if (t.time < 3.0) continue;
    EXPECT_FALSE(t.state.fallback.empty()) << "at " << t.time << " s";
  }
}

TEST(FrozenSensors, AreFoundLaterAfterAFewUpdates) {
  EXPECT_LT(found_at(noisy(0.0, 1), 10.0, 20.0), 12.0);
  EXPECT_LT(found_at(noisy(1.0, 1), 10.0, 20.0), 12.0);
  EXPECT_LT(found_at(noisy(1.0, 10), 40.0, 60.0), 47.5);
  EXPECT_GT(found_at(noisy(0.0, 1), 10.0, 20.0), 11.4) << "not before stale_after";
}

/// A tracker on a machine of literals, 100 ms ticks, instant power through a lag of 0.1 s.
class Learning : public ::testing::Test {
 protected:
  /// One tick in which loads of this energy ran; `reading` where the sensor has changed.
  void tick(double energy, std::optional<double> reading = std::nullopt) {
    now_ += Seconds(0.1);
    Reading<Watts>& power = snapshot_.gpus[0].power_instant;
    power.read_at = now_;
    if (reading) power.value = Watts(*reading), power.changed_at = now_;
    const StepMetrics metrics{.at = now_,
                              .tick = Seconds(0.1),
                              .step_time = Seconds(0.01),
                              .step_period = config_.step_period};
    const Observation o{.now = now_,
                        .snapshot = snapshot_,
                        .stats = stats_,
                        .sample = sample_,
                        .metrics = metrics,
                        .costs = config_.costs};
    const Cost ran{Seconds(0.01), Joules(energy), Celsius(0.0)};
    tracker_.observe(o, ran);
    tracker_.learn(o, ran, true);
  }
  double watts(double energy) const { return 130.0 + energy / config_.step_period.value; }
  double residual() const { return tracker_.power_residual().value; }

  ControllerConfig config_ = dual_config({.power = Watts(kCap)});
  HardwareTracker tracker_{config_};
  Snapshot snapshot_{.gpus = std::vector<GpuReading>(1)};
  RoutingStats stats_;
  LogitSample sample_;
  Seconds now_{};
};

TEST_F(Learning, AReadingThatWaitsForItsUpdateIsNotComparedWithWhatRanSince) {
  for (int i = 1; i <= 40; ++i) {  // a sensor of 1 s period, which jitters by a watt
    if (i % 10 == 0)
      tick(3.5, watts(3.5) + i % 20 / 10);
    else
      tick(3.5);
  }
  const double before = residual();
  EXPECT_NEAR(before, 0.5, 0.6);
  for (int i = 0; i < 9; ++i) tick(2.5);  // the plan drops by 60 W, the reading does not know yet
  EXPECT_NEAR(residual(), before, 1e-9);
}

TEST_F(Learning, AReadingOfASlowSensorIsLearnedOnceAndWeighsTheMore) {
  for (int i = 1; i <= 50; ++i) {
    const double reading = watts(3.5) + 10.0 * (i / 10);
    if (i % 10 == 0)
      tick(3.5, reading);
    else
      tick(3.5);
  }
  EXPECT_GT(residual(), 40.0) << "one filter step of ten of a sensor that is updated each tick";
  EXPECT_LT(residual(), 50.0) << "learned again and again it would be the reading itself";
}

TEST_F(Learning, AReadingThatRightlyStandsStillGoesOnTeaching) {
  for (int i = 0; i < 10; ++i) tick(3.5, watts(3.5) + (i % 2 == 0 ? 5.0 : 0.0));
  tick(3.5, watts(3.5) + 20.0);  // 20 W of another's, and the last change
  for (int i = 0; i < 30; ++i) tick(3.5);
  EXPECT_NEAR(residual(), 20.0, 0.1);
}

TEST_F(Learning, TheTrimIsBoundByATenthOfThePowerAboveIdle) {
  for (int i = 0; i < 100; ++i) {
    tracker_.expect(Cost{Seconds(0.01), Joules(2.4), Celsius(0.0)});  // and 3.6 J run
    tick(3.6, watts(3.6) + 0.1 * (i % 2));
  }
  EXPECT_NEAR(residual(), 0.1 * 2.4 / config_.step_period.value, 0.2);
}

TEST_F(Learning, ThePowerCapIsAimedAtFromHalfAPercentBelow) {
  for (int i = 0; i < 30; ++i) tick(3.5, watts(3.5) + 0.01 * (i % 2));
  const double energy = (kCap - 130.0) * config_.step_period.value;
  const auto meets = [&](double share) {  // of the cap, idle included
    const double joules = energy - (1.0 - share) * kCap * config_.step_period.value;
    return tracker_.meets(config_.targets, {Seconds(0.01), Joules(joules), Celsius(0.0)});
  };
  EXPECT_TRUE(meets(0.994));
  EXPECT_FALSE(meets(0.996));
}

TEST_F(Learning, AReadingThatStandsStillWhileTheModelMovesTeachesNothing) {
  for (int i = 0; i < 10; ++i) tick(3.5, watts(3.5) + (i % 2 == 0 ? 1.0 : 0.0));
  const double before = residual();
  for (int i = 0; i < 30; ++i) tick(2.5);
  EXPECT_NEAR(residual(), before, 1.0);
}

TEST_F(Learning, ASensorThatChangedAtEveryUpdateTeachesNothingOnceItStandsStill) {
  for (int i = 0; i < 30; ++i) tick(3.5, watts(3.5) + 8.0 * std::sin(i));
  const double before = residual();
  for (int i = 0; i < 10; ++i) tick(3.52);
  EXPECT_EQ(residual(), before);
}

/// A sensor polled each 100 ms: the machine's watts by the model, and what is read.
class AtRest : public ::testing::Test {
 protected:
  AtRest() {
    for (int i = 0; i < 40; ++i) poll(400.0, 400.0 + i % 3, false);  // changes with every update
  }

  void poll(double modelled, double read, bool rests) {
    now_ += Seconds(0.1);
    if (reading_.value != Watts(read)) reading_.changed_at = now_;
    reading_.value = Watts(read);
    reading_.read_at = now_;
    sensor_.observe({.reading = &reading_}, now_, Watts(modelled), rests);
  }

  Seconds now_{};
  Reading<Watts> reading_{};
  PowerSensor sensor_{Seconds(1.5)};
};

TEST_F(AtRest, ALivelySensorMayStandStillAsLongAsTheMachineDoes) {
  for (int i = 0; i < 100; ++i) poll(120.0, 121.0, true);
  EXPECT_FALSE(sensor_.frozen());
  for (int i = 0; i < 30; ++i) poll(400.0, 400.0 + i % 2, false);
  EXPECT_FALSE(sensor_.frozen());
}

TEST_F(AtRest, ASensorThatStopsMeanwhileIsFoundOutByTheWorkThatFollows) {
  for (int i = 0; i < 100; ++i) poll(120.0, 121.0, true);
  for (int i = 0; i < 20; ++i) poll(400.0, 121.0, false);
  EXPECT_TRUE(sensor_.frozen());
}

}  // namespace
}  // namespace thermoe
