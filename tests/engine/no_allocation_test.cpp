// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <chrono>
#include <vector>

#include "counted_allocation.h"
#include "engine/thermoe.h"
#include "toy_model.h"

namespace thermoe {
namespace {

using testing::kToyExperts;
using testing::kToyLayers;

TEST(EnginesThread, AllocatesNothingWhateverPlanIsInForce) {
  thermoe_controller* controller = nullptr;
  const std::string config = testing::toy_config(R"({"applies": "mask", "control": {
      "thread": true, "tick_s": 0.01, "valid_ticks": 1, "calibration_samples": 2}})");
  ASSERT_EQ(thermoe_open(config.c_str(), &controller), THERMOE_OK) << thermoe_last_error();
  const std::vector<std::int32_t> counts(kToyLayers * kToyExperts, 1);
  testing::ToyModel model;
  const auto sample =
      model.by_plan(RoutingPlan(kToyLayers, kToyExperts, testing::kToyPicks)).sample;
  std::vector<std::byte> buffer(thermoe_plan_bytes(kToyLayers, kToyExperts));
  ASSERT_EQ(thermoe_bind_plan(controller, buffer.data(), buffer.size()), THERMOE_OK);
  thermoe_step step{};
  step.size = sizeof step;
  step.step_period_s = 0.016;
  step.layers = kToyLayers;
  step.experts = kToyExperts;
  step.tokens = testing::kToyTokens;
  step.counts = counts.data();
  step.logits = sample.logits.data();
  thermoe_decision decision{};
  decision.size = sizeof decision;

  std::uint64_t seen = 0;  // flags, of all decisions
  std::uint64_t versions = 0;
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  const long before = testing::allocations();
  while ((versions < 20 || (seen & THERMOE_SAFE) == 0) && std::chrono::steady_clock::now() < end) {
    if (thermoe_acquire(controller, &decision) != THERMOE_OK) break;
    if (thermoe_observe(controller, &step) != THERMOE_OK) break;
    seen |= decision.flags;
    if ((decision.flags & THERMOE_CHANGED) != 0) ++versions;
  }
  EXPECT_EQ(testing::allocations(), before);
  EXPECT_GE(versions, 20U) << thermoe_last_error();
  EXPECT_NE(seen & THERMOE_SAFE, 0U) << "a decision of one tick is over before the next comes";
  thermoe_close(controller);
}

}  // namespace
}  // namespace thermoe
