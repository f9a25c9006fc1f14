// SPDX-License-Identifier: Apache-2.0
#include "control/serving_load.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

constexpr Seconds kTick{0.1};
constexpr Seconds kPeriod{0.016};

/// Of 800 tokens a second for requests of 100.
ServingTick usual(int i) {
  return {.batch = 13.0,
          .rows = 16.0,
          .running = 13,
          .arrived = i % 5 == 0 ? 4 : 0,
          .finished = i % 5 == 0 ? 4 : 0,
          .tokens = 80.0,
          .mixed_steps = i % 5 == 0 ? 1.0 : 0.0,
          .to_first_token = {Seconds(0.030)},
          .between_tokens = {{Seconds(0.016), 60.0}, {Seconds(0.024), 20.0}}};
}

ServingLoad usual_load() {
  ServingLoad load(ServingEngine{.batch_limit = 16});
  for (int i = 0; i < 600; ++i) load.learn(usual(i), kTick, kPeriod);
  return load;
}

TEST(ServingLoad, AsksForWhatArrivesTimesWhatRequestsGot) {
  const ServingLoad load = usual_load();
  EXPECT_NEAR(load.rate(), 800.0, 20.0);
  EXPECT_NEAR(load.to_first_token()->value, 0.030, 1e-9);
}

TEST(ServingLoad, StretchIsTheMeanByTokenOfGapsOverThePeriod) {
  EXPECT_NEAR(usual_load().stretch(), 18.0 / 16.0, 1e-9);
}

TEST(ServingLoad, BeforeRequestsHaveFinishedWhatIsServedIsTheRate) {
  ServingLoad load(ServingEngine{});
  EXPECT_EQ(load.rate(), 0.0);
  EXPECT_EQ(load.stretch(), 1.0);
  EXPECT_FALSE(load.to_first_token());
  for (int i = 0; i < 100; ++i) load.learn({.batch = 5.0, .tokens = 30.0}, kTick, kPeriod);
  EXPECT_NEAR(load.rate(), 300.0, 1e-6);
}

TEST(ServingLoad, ALoadThatGrowsIsSeenByWhatArrivesBeforeItIsServed) {
  ServingLoad load = usual_load();
  for (int i = 0; i < 200; ++i) {
    ServingTick tick = usual(i);
    tick.arrived *= 2;
    load.learn(tick, kTick, kPeriod);
  }
  EXPECT_GT(load.rate(), 1250.0);
  EXPECT_EQ(load.greatest_rate(), load.rate());
}

TEST(ServingLoad, RequestsThatWaitForAStepAreNoCrowdAndThoseAtTheLimitAreForASecondMore) {
  ServingLoad load = usual_load();
  ServingTick tick = usual(1);
  tick.waiting = 3;
  load.learn(tick, kTick, kPeriod);
  EXPECT_FALSE(load.crowded());
  tick.running = 16;
  load.learn(tick, kTick, kPeriod);
  EXPECT_TRUE(load.crowded());
  tick.waiting = 0;
  for (int i = 0; i < 9; ++i) load.learn(tick, kTick, kPeriod);
  EXPECT_TRUE(load.crowded());
  for (int i = 0; i < 3; ++i) load.learn(tick, kTick, kPeriod);
  EXPECT_FALSE(load.crowded());
}

TEST(ServingLoad, DispersionIsThatOfTheBatchAndAtMostPoissons) {
  EXPECT_NEAR(usual_load().dispersion(), 0.0, 1e-9);
  ServingLoad varies(ServingEngine{}), jumps(ServingEngine{});
  for (int i = 0; i < 3000; ++i) {
    varies.learn({.batch = i % 2 == 0 ? 14.0 : 18.0}, kTick, kPeriod);
    jumps.learn({.batch = i % 600 < 300 ? 4.0 : 40.0}, kTick, kPeriod);
  }
  EXPECT_NEAR(varies.dispersion(), 4.0 / 16.0, 0.01);
  EXPECT_EQ(jumps.dispersion(), 1.0);
}

TEST(ServingLoad, ATickWithoutLengthTeachesNothing) {
  ServingLoad load = usual_load();
  const double before = load.rate();
  load.learn(usual(0), Seconds(0), kPeriod);
  EXPECT_EQ(load.rate(), before);
}

}  // namespace
}  // namespace thermoe
