// SPDX-License-Identifier: Apache-2.0
#include "core/plan_buffer.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "core/errors.h"

namespace thermoe {
namespace {

RoutingPlan plan_of(float value) {
  RoutingPlan plan(2, 8, 2);
  for (int l = 0; l < 2; ++l) {
    for (float& b : plan.selection_bias(l)) b = value;
  }
  return plan;
}

TEST(PlanBuffer, GivesTheInitialPlanUntilOneIsPublished) {
  PlanBuffer buffer(plan_of(0.0F));
  EXPECT_EQ(buffer.acquire().header().version, 0U);
  buffer.publish(plan_of(1.0F));
  EXPECT_EQ(buffer.acquire().header().version, 1U);
  EXPECT_EQ(buffer.acquire().selection_bias(1)[7], 1.0F);
}

TEST(PlanBuffer, APlanThatCannotRunIsNotPublished) {
  PlanBuffer buffer(RoutingPlan(1, 4, 2));
  RoutingPlan bad(1, 4, 2);
  bad.activation_price(0)[1] = -1.0F;
  EXPECT_THROW(buffer.publish(bad), PreconditionError);
  EXPECT_EQ(buffer.acquire().activation_price(0)[1], 0.0F);
}

TEST(PlanBuffer, SkipsToTheNewest) {
  PlanBuffer buffer(plan_of(0.0F));
  for (int i = 1; i <= 5; ++i) buffer.publish(plan_of(static_cast<float>(i)));
  EXPECT_EQ(buffer.acquire().header().version, 5U);
  EXPECT_EQ(buffer.acquire().selection_bias(0)[0], 5.0F);
}

TEST(PlanBuffer, AnAcquiredPlanDoesNotChangeUnderTheReader) {
  PlanBuffer buffer(plan_of(0.0F));
  buffer.publish(plan_of(1.0F));
  const RoutingPlan& held = buffer.acquire();
  buffer.publish(plan_of(2.0F));
  buffer.publish(plan_of(3.0F));
  EXPECT_EQ(held.selection_bias(0)[0], 1.0F);
  EXPECT_EQ(buffer.acquire().selection_bias(0)[0], 3.0F);
}

TEST(PlanBuffer, AReaderNeverSeesATornPlanOrAnOlderOne) {
  PlanBuffer buffer(plan_of(0.0F));
  std::atomic<bool> done{false};
  std::jthread writer([&] {
    for (int i = 1; i <= 5000; ++i) buffer.publish(plan_of(static_cast<float>(i)));
    done = true;
  });
  std::uint64_t newest = 0;
  bool whole = true;
  bool ordered = true;
  do {
    const RoutingPlan& plan = buffer.acquire();
    const float expected = static_cast<float>(plan.header().version);
    ordered = ordered && plan.header().version >= newest;
    newest = plan.header().version;
    for (int l = 0; l < 2; ++l) {
      for (const float b : plan.selection_bias(l)) whole = whole && b == expected;
    }
  } while (!done);
  EXPECT_TRUE(whole);
  EXPECT_TRUE(ordered);
  writer.join();
  EXPECT_EQ(buffer.acquire().header().version, 5000U);
}

TEST(PlanBuffer, RefusesAPlanOfAnotherShape) {
  PlanBuffer buffer(plan_of(0.0F));
  EXPECT_THROW(buffer.publish(RoutingPlan(2, 9, 2)), PreconditionError);
  EXPECT_THROW(PlanBuffer(RoutingPlan{}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
