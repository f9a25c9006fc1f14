// SPDX-License-Identifier: Apache-2.0
#include "control/power_residual.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <vector>

namespace thermoe {
namespace {

enum class Sensors { kInstant, kAverage, kBoth };

/// A machine that draws `truth` more than its model in each tick, and what its sensors say of that.
class Following : public ::testing::Test {
 protected:
  void tick(double truth, Sensors sensors, double noise = 0.0) {
    past_.push_back(truth);
    now_ += kTick;
    filter_.advance(now_);
    if (sensors != Sensors::kAverage) {
      filter_.learn_instant(Watts(truth + noise * normal_(random_)), {now_ - Seconds(0.025), now_});
    }
    if (sensors == Sensors::kInstant || past_.size() < 10) return;
    double mean = 0.0;
    for (std::size_t i = past_.size() - 10; i < past_.size(); ++i) mean += past_[i] / 10.0;
    const double own_noise = noise > 0.0 ? 3.0 : 0.0;
    filter_.learn_average(Watts(mean + own_noise * normal_(random_)), {now_ - Seconds(1.0), now_});
  }
  void ticks(int count, double truth, Sensors sensors, double noise = 0.0) {
    for (int i = 0; i < count; ++i) tick(truth, sensors, noise);
  }
  /// Ticks until less than a tenth of a tenant of 60 W is missing, or too much, for good.
  int ticks_to_follow(double truth, Sensors sensors) {
    int last = 0;
    for (int i = 1; i <= 60; ++i) {
      tick(truth, sensors);
      if (std::abs(value() - truth) > 6.0) last = i;
    }
    return last + 1;
  }
  double rms_error(int count, double truth, Sensors sensors, double noise) {
    double sum = 0.0;
    for (int i = 0; i < count; ++i) {
      tick(truth, sensors, noise);
      sum += (value() - truth) * (value() - truth);
    }
    return std::sqrt(sum / count);
  }
  double value() const { return filter_.value().value; }

  static constexpr Seconds kTick{0.1};
  PowerResidual filter_;
  Seconds now_{};
  std::vector<double> past_{};
  std::mt19937 random_{7};
  std::normal_distribution<double> normal_;
};

TEST_F(Following, BeforeAnyReadingTheModelIsBelieved) {
  EXPECT_EQ(value(), 0.0);
  filter_.learn_instant(Watts(50.0), {Seconds(0.0), Seconds(0.1)});
  EXPECT_EQ(value(), 0.0) << "nothing is learned before time begins";
  filter_.advance(Seconds(5.0));
  EXPECT_EQ(value(), 0.0);
}

TEST_F(Following, AConstantResidualComesOutExactlyByEitherSensor) {
  for (const Sensors sensors : {Sensors::kInstant, Sensors::kAverage, Sensors::kBoth}) {
    filter_ = PowerResidual();
    ticks(200, 37.0, sensors);
    EXPECT_NEAR(value(), 37.0, 1e-6);
  }
}

TEST_F(Following, ATenantIsFollowedInASecondByEitherSensor) {
  for (const Sensors sensors : {Sensors::kInstant, Sensors::kAverage, Sensors::kBoth}) {
    filter_ = PowerResidual();
    ticks(200, 0.0, sensors);
    EXPECT_LE(ticks_to_follow(60.0, sensors), 12);
    EXPECT_LE(ticks_to_follow(0.0, sensors), 12);
  }
}

TEST_F(Following, TheFirstReadingIsNoFactAndAWrongTableIsLearnedInHalfASecond) {
  tick(45.0, Sensors::kInstant);
  EXPECT_GT(value(), 10.0);
  EXPECT_LT(value(), 25.0);
  ticks(4, 45.0, Sensors::kInstant);
  EXPECT_GT(value(), 35.0);
}

TEST_F(Following, AliasingBesideASureAverageIsTakenForNoise) {
  ticks(100, 20.0, Sensors::kBoth, 40.0);
  EXPECT_NEAR(filter_.instant_noise().value, 40.0, 10.0);
  const double both = rms_error(600, 20.0, Sensors::kBoth, 40.0);
  EXPECT_LT(both, 8.0);
  EXPECT_LT(both, 0.85 * rms_error(600, 20.0, Sensors::kInstant, 40.0));
}

TEST_F(Following, AQuietSensorIsLearnedToBeQuiet) {
  ticks(300, 20.0, Sensors::kInstant, 5.0);
  EXPECT_LT(filter_.instant_noise().value, 30.0);
}

TEST_F(Following, ATenantIsNotTakenForNoise) {
  ticks(300, 0.0, Sensors::kBoth, 20.0);
  const double before = filter_.instant_noise().value;
  ticks(10, 300.0, Sensors::kBoth, 20.0);
  EXPECT_LT(filter_.instant_noise().value, 1.6 * before);
}

TEST_F(Following, AReadingWeighsMoreTheLongerThereWasNone) {
  ticks(100, 0.0, Sensors::kInstant);
  PowerResidual soon = filter_;
  PowerResidual late = filter_;
  const auto learn = [](PowerResidual& filter, Seconds now) {
    filter.advance(now);
    filter.learn_instant(Watts(30.0), {now - Seconds(0.025), now});
  };
  learn(soon, now_ + kTick);
  learn(late, now_ + Seconds(1.0));
  EXPECT_GT(late.value(), 1.5 * soon.value());
  EXPECT_LT(late.value(), Watts(30.0));
}

TEST_F(Following, AfterALongGapItIsNoSurerAndNoLessSureThanAtTheStart) {
  ticks(100, 20.0, Sensors::kBoth);
  filter_.advance(now_ + Seconds(1e6));
  EXPECT_NEAR(value(), 20.0, 0.1);
  const double before = value();
  const Seconds now = now_ + Seconds(1e6);
  filter_.learn_instant(Watts(before + 100.0), {now - Seconds(0.025), now});
  EXPECT_GT(value(), before + 40.0);
  EXPECT_LT(value(), before + 95.0);
}

TEST_F(Following, ReadingsOfThePastTeachThePast) {
  // A jump that the average has not seen yet is not taken back by it.
  ticks(100, 0.0, Sensors::kBoth);
  filter_.advance(now_ + Seconds(0.3));
  filter_.learn_instant(Watts(60.0), {now_ + Seconds(0.275), now_ + Seconds(0.3)});
  const double seen = value();
  filter_.learn_average(Watts(0.0), {now_ - Seconds(1.0), now_});
  EXPECT_GT(value(), 0.8 * seen);
}

TEST_F(Following, TicksOfAnyLengthFollowAlike) {
  for (const double tick : {0.02, 0.05, 0.1, 0.25, 1.0}) {
    PowerResidual filter;
    const auto run = [&](double from, double to, double truth) {
      for (double t = from + tick; t < to + 1e-9; t += tick) {
        filter.advance(Seconds(t));
        const Seconds window{std::min(0.1, tick)};
        filter.learn_instant(Watts(truth), {Seconds(t) - window, Seconds(t)});
      }
    };
    run(0.0, 20.0, 10.0);
    EXPECT_NEAR(filter.value().value, 10.0, 0.1) << tick;
    run(20.0, 22.0, 60.0);
    EXPECT_NEAR(filter.value().value, 60.0, 8.0) << tick;
  }
}

TEST_F(Following, WhatIsNoNumberOrHasNoLengthTeachesNothingHarmful) {
  ticks(50, 20.0, Sensors::kBoth);
  const double before = value();
  for (const double wrong : {std::nan(""), std::numeric_limits<double>::infinity()}) {
    filter_.learn_instant(Watts(wrong), {now_ - Seconds(0.025), now_});
    filter_.learn_average(Watts(20.0), {Seconds(wrong), now_});
    filter_.advance(Seconds(wrong));
    EXPECT_EQ(value(), before);
  }
  filter_.learn_instant(Watts(20.0), {now_, now_});
  filter_.learn_instant(Watts(20.0), {now_ + Seconds(9.0), now_ + Seconds(10.0)});
  filter_.learn_average(Watts(20.0), {now_ - Seconds(90.0), now_ - Seconds(80.0)});
  EXPECT_NEAR(value(), 20.0, 1.0);
  ticks(50, 20.0, Sensors::kBoth);
  EXPECT_NEAR(value(), 20.0, 0.1);
}

TEST_F(Following, ItStaysSoundOverADayOfNoise) {
  for (int i = 0; i < 20000; ++i) tick(i % 500 < 250 ? 0.0 : 60.0, Sensors::kBoth, 40.0);
  EXPECT_LT(rms_error(200, 0.0, Sensors::kBoth, 40.0), 25.0);
  EXPECT_TRUE(std::isfinite(value()));
}

}  // namespace
}  // namespace thermoe
