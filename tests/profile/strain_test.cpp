// SPDX-License-Identifier: Apache-2.0
#include "profile/record/strain_run.h"

#include <gmock/gmock.h>

#include <cmath>
#include <deque>

#include "core/errors.h"
#include "profile/record/perturbation_fit.h"
#include "scripted_source.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

constexpr double kExecution = 1e-3;  // seconds, with power to spare

/// A board that idles at 120 W and is asked for `demand`: beyond its limit, and after a while, it
/// holds the limit and executes more slowly. Its sensor shows each `period` what it drew 60 ms ago.
class Board {
 public:
  explicit Board(double demand) : demand_(demand) {}

  VirtualClock clock{};
  std::atomic<bool> stop{false};
  std::optional<Watts> limit = Watts(700);
  double slowdown = 0.3;  ///< at the limit
  double scatter = 0.0;   ///< of a batch's time, at most
  ScriptedSource sensors{[this] { return read(); }};

  EnergyBench bench() {
    return {.sensors = sensors,
            .clock = clock,
            .rest = [this](Seconds time) { pass(time, 120.0), worked_ = Seconds(0); },
            .prepare =
                [this](const OpPoint&) {
                  return [this](const std::function<void()>& meanwhile) {
                    constexpr int kExecutions = 40;
                    const bool held = demand_ > 700.0 && worked_ > Seconds(1.0);
                    // Scattered by as much as `scatter`, as times are.
                    const double off = scatter * ((batches_++ % 5) - 2) / 2.0;
                    const double time =
                        kExecutions * kExecution * ((held ? 1.0 + slowdown : 1.0) + off);
                    for (int part = 0; part < 8; ++part) {
                      pass(Seconds(time / 8), held ? 700.0 : std::min(demand_, 900.0));
                      if (part == 0) meanwhile();
                    }
                    worked_ += Seconds(time);
                    return std::int64_t{kExecutions};
                  };
                },
            .stop = stop};
  }

 private:
  void pass(Seconds time, double watts) {
    clock.advance_to(clock.now() + time);
    drawn_.emplace_back(clock.now(), watts);
  }
  Snapshot read() {
    while (shown_at_ + Seconds(0.02) <= clock.now()) shown_at_ += Seconds(0.02);
    double watts = 120.0;
    for (const auto& [until, drew] : drawn_) {
      watts = drew;
      if (until >= shown_at_ - Seconds(0.06)) break;
    }
    GpuReading gpu;
    // As sensors do, it is never twice the same.
    gpu.power_instant.value = Watts(watts + 0.001 * std::fmod(shown_at_.value * 50.0, 7.0));
    gpu.power_limit.value = limit;
    gpu.sm_clock.value = Megahertz(1980);
    return {.gpus = {gpu}};
  }

  double demand_;
  Seconds worked_{};
  int batches_ = 0;
  Seconds shown_at_{};
  std::deque<std::pair<Seconds, double>> drawn_{};
};

const OpPoint kPoint = *read_op_point("moe_experts [8, 2, 64, 32] bf16 tokens 4096 active 8");

TEST(Strain, TellsWhatTheLimitCostsAndHowTheSensorLags) {
  Board board(900.0);
  const auto record = measure_strain(kPoint, Seconds(25), board.bench());
  ASSERT_TRUE(record);
  EXPECT_EQ(record->point, kPoint);
  EXPECT_EQ(record->limit, Watts(700));
  EXPECT_NEAR(board.clock.now().value, 25, 0.1);
  const auto slowdown = fit_slowdown(*record);
  ASSERT_TRUE(slowdown);
  EXPECT_EQ(slowdown->limit, Watts(700));
  EXPECT_EQ(slowdown->knee, 0.95);
  EXPECT_NEAR(slowdown->slope, 0.3 / 0.05, 0.05) << "at the limit 30 % more";
  const auto sensor = fit_sensor_lag(*record);
  ASSERT_TRUE(sensor);
  EXPECT_NEAR((sensor->lag.delay + 0.5 * sensor->lag.window).value, 0.06 + 0.01, 0.02);
  EXPECT_NEAR(sensor->lag.period.value().value, 0.02, 0.006);
}

TEST(Strain, WhereThePowerStaysBelowTheLimitNobodyKnowsWhatItCosts) {
  Board board(600.0);
  const auto record = measure_strain(kPoint, Seconds(25), board.bench());
  ASSERT_TRUE(record);
  EXPECT_FALSE(fit_slowdown(*record));
  EXPECT_NEAR(highest_power(*record).value, 600, 1);
  EXPECT_TRUE(fit_sensor_lag(*record)) << "bursts are seen all the same";
}

TEST(Strain, ALimitThatCostsNothingIsSlopeZero) {
  Board board(900.0);
  board.slowdown = 0.0;
  const auto slowdown = fit_slowdown(measure_strain(kPoint, Seconds(25), board.bench()).value());
  ASSERT_TRUE(slowdown);
  EXPECT_NEAR(slowdown->slope, 0.0, 1e-6);
}

TEST(Strain, TheScatterOfTimesIsNotTakenForWhatTheLimitCosts) {
  Board board(900.0);
  board.slowdown = 0.0;
  board.scatter = 0.005;
  const auto slowdown = fit_slowdown(measure_strain(kPoint, Seconds(25), board.bench()).value());
  ASSERT_TRUE(slowdown);
  EXPECT_NEAR(slowdown->slope, 0.0, 0.02) << "0.1, were the quickest of all batches its measure";
}

TEST(Strain, OfNothingNothingIsSaid) {
  StrainRecord record{.point = kPoint, .limit = Watts(700)};
  EXPECT_FALSE(fit_slowdown(record));
  EXPECT_FALSE(fit_sensor_lag(record));
  EXPECT_EQ(highest_power(record), Watts(0));
  record.batches = {{Seconds(0), Seconds(0.1), 5}, {Seconds(0.1), Seconds(0.2), 5}};
  EXPECT_FALSE(fit_slowdown(record)) << "one burst";
  record.batches.push_back({Seconds(1.0), Seconds(1.1), 5});
  EXPECT_FALSE(fit_slowdown(record)) << "no reading";
  EXPECT_FALSE(fit_sensor_lag(record));
}

TEST(Strain, EndsWhenStoppedAndSaysWhatTheDeviceDoesNotSay) {
  Board stopped(900.0);
  stopped.stop = true;
  EXPECT_FALSE(measure_strain(kPoint, Seconds(25), stopped.bench()));
  Board silent(900.0);
  for (const std::optional<Watts>& none : {std::optional<Watts>(), std::optional(Watts(0))}) {
    silent.limit = none;
    try {
      (void)measure_strain(kPoint, Seconds(25), silent.bench());
      FAIL();
    } catch (const TelemetryError& error) {
      EXPECT_THAT(error.what(), HasSubstr("no power or no power limit"));
    }
  }
}

/// Rest, work of 500 W, and rest in which the die cools by `warmth` from 60 C and the board's power
/// loses `rise` watts a degree.
ThermalRecord cooling(double rise, double warmth) {
  ThermalRecord record{.point = kPoint};
  for (int i = 0; i < 900; ++i) {
    const bool works = i >= 135 && i < 675;
    double degrees = 60.0;
    if (i < 135) degrees = 60.0 - warmth;
    if (i >= 675) degrees = 60.0 - warmth * (1.0 - std::exp(-(i - 675) / 60.0));
    record.samples.push_back({.at = Seconds(0.1 * i),
                              .power = Watts(works ? 500.0 : 120.0 + rise * (degrees - 50.0)),
                              .temperature = Celsius(std::round(degrees))});
  }
  return record;
}

TEST(Leakage, IsWhatTheBoardDrawsLessAsItsDieCools) {
  const auto fit = fit_leakage(cooling(0.8, 15.0), Celsius(55), Watts(120));
  ASSERT_TRUE(fit);
  EXPECT_EQ(fit->reference, Celsius(55));
  EXPECT_NEAR(fit->energy_per_c, 0.8 / (500.0 - 120.0), 1e-4);
}

TEST(Leakage, IsNotReadWhereTheDieHardlyCoolsOrThePowerDoesNotFallWithIt) {
  EXPECT_FALSE(fit_leakage(cooling(0.8, 2.0), Celsius(55), Watts(120)));
  EXPECT_FALSE(fit_leakage(cooling(-0.5, 15.0), Celsius(55), Watts(120)));
  EXPECT_FALSE(fit_leakage({.point = kPoint}, Celsius(55), Watts(120)));
}

}  // namespace
}  // namespace thermoe
