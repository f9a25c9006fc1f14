// SPDX-License-Identifier: Apache-2.0
#include "engine/hand_over.h"

#include <gtest/gtest.h>

#include <atomic>
#include <limits>
#include <thread>

#include "core/errors.h"

namespace thermoe {
namespace {

PlanAndMask routes_of(float value) {
  PlanAndMask routes{.plan = RoutingPlan(2, 8, 2), .mask = std::vector<std::uint8_t>(16, 1)};
  for (int l = 0; l < 2; ++l) {
    for (float& b : routes.plan.selection_bias(l)) b = value;
  }
  return routes;
}

const auto kSafe = std::make_shared<const PlanAndMask>(routes_of(-1.0F));

HandedDecision decision_of(float value, std::optional<Seconds> until = {}) {
  return {.routes = routes_of(value),
          .step_period = Seconds(0.01),
          .valid_until = until,
          .safe = kSafe,
          .safe_step_period = Seconds(0.02)};
}

TEST(HandOver, GivesTheNewestDecisionWhileItIsValid) {
  HandOver hand_over({.routes = routes_of(0.0F), .calibrating = true});
  EXPECT_TRUE(hand_over.acquire(Seconds(0)).calibrating);
  hand_over.publish(decision_of(1.0F, Seconds(5)));
  const auto held = hand_over.acquire(Seconds(4.9));
  EXPECT_EQ(held.routes.plan.selection_bias(1)[7], 1.0F);
  EXPECT_EQ(held.step_period, Seconds(0.01));
  EXPECT_FALSE(held.safe);
}

TEST(HandOver, WhatHasOutlivedItsTimeGivesWayToTheSafePlanAndThatToANewDecision) {
  HandOver hand_over({.routes = routes_of(0.0F)});
  const auto first = hand_over.publish(decision_of(1.0F, Seconds(5)));
  const auto safe = hand_over.acquire(Seconds(5));
  EXPECT_TRUE(safe.safe);
  EXPECT_EQ(safe.routes.plan.selection_bias(0)[0], -1.0F);
  EXPECT_EQ(safe.routes.plan.header().version, safe.version) << "the block says its own version";
  EXPECT_EQ(safe.step_period, Seconds(0.02));
  EXPECT_GT(safe.version, first);
  const auto again = hand_over.acquire(Seconds(6));
  EXPECT_EQ(again.version, safe.version) << "nothing has changed";
  const auto second = hand_over.publish(decision_of(2.0F, Seconds(9)));
  EXPECT_GT(second, safe.version);
  EXPECT_EQ(hand_over.acquire(Seconds(6)).routes.plan.selection_bias(0)[0], 2.0F);
}

TEST(HandOver, WhatDoesNotGrowOldStays) {
  HandOver hand_over({.routes = routes_of(0.0F)});
  hand_over.publish(decision_of(1.0F));
  EXPECT_FALSE(hand_over.acquire(Seconds(1e9)).safe);
}

TEST(HandOver, RefusesWhatNoEngineCouldRun) {
  HandOver hand_over({.routes = routes_of(0.0F)});
  HandedDecision other = decision_of(1.0F);
  other.routes.plan = RoutingPlan(2, 9, 2);
  EXPECT_THROW(hand_over.publish(other), PreconditionError);
  HandedDecision unsafe = decision_of(1.0F, Seconds(1));
  unsafe.safe = nullptr;
  EXPECT_THROW(hand_over.publish(unsafe), PreconditionError);
  HandedDecision broken = decision_of(1.0F);
  broken.routes.plan.activation_price(0)[0] = -1.0F;
  EXPECT_THROW(hand_over.publish(broken), PreconditionError);
  HandedDecision timeless = decision_of(1.0F);
  timeless.step_period = Seconds(std::numeric_limits<double>::quiet_NaN());
  EXPECT_THROW(hand_over.publish(timeless), PreconditionError);
  EXPECT_EQ(hand_over.acquire(Seconds(0)).version, 0U);
}

TEST(HandOver, AReaderSeesWholeDecisionsWhoseVersionsGrowWhoeverStandsIn) {
  HandOver hand_over({.routes = routes_of(0.0F)});
  constexpr int kDecisions = 4000;
  std::atomic<bool> done{false};
  std::jthread writer([&] {
    for (int i = 1; i <= kDecisions; ++i) {  // of every third the time is over at once
      hand_over.publish(decision_of(static_cast<float>(i), Seconds(i % 3 == 0 ? 0.0 : 2.0)));
    }
    done = true;
  });
  bool whole = true, ordered = true;
  std::uint64_t newest = 0;
  do {
    const auto held = hand_over.acquire(Seconds(1));
    const float expected = held.safe ? -1.0F : static_cast<float>(held.version / 2);
    for (int l = 0; l < 2; ++l) {
      for (const float b : held.routes.plan.selection_bias(l)) whole = whole && b == expected;
    }
    ordered = ordered && held.version >= newest;
    newest = held.version;
  } while (!done);
  EXPECT_TRUE(whole);
  EXPECT_TRUE(ordered);
}

}  // namespace
}  // namespace thermoe
