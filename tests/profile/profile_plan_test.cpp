// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/profile_plan.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

namespace thermoe {
namespace {

using ::testing::HasSubstr;

PlanRequest request_for(const char* model, Backend backend) {
  return {.points = profile_points(profiled_model(model), {.dtypes = {"bf16", "int4"}}),
          .backend = backend};
}

std::string left_out(const ProfilePlan& plan) {
  std::string all;
  for (const LeftOut& left : plan.left_out) all += left.what + ": " + left.why + "\n";
  return all;
}

TEST(ProfilePlan, WhatTheBackendLacksIsLeftOutAndSaid) {
  const ProfilePlan plan = plan_profile(request_for("Qwen3-30B-A3B", Backend::kCuda));
  for (const ProfilePoint& point : plan.time) {
    EXPECT_FALSE(op_problem(Backend::kCuda, point.point)) << to_string(point.point);
  }
  EXPECT_THAT(left_out(plan), HasSubstr("gate_up (9 points): the cuda backend has no dense"));
  EXPECT_THAT(left_out(plan), HasSubstr("attention (9 points): the cuda backend has no attention"));
}

TEST(ProfilePlan, AboveFortyGigabytesOfWeightsNothingRuns) {
  PlanRequest request = request_for("DeepSeek-V3", Backend::kCuda);
  EXPECT_THAT(left_out(plan_profile(request)), ::testing::Not(HasSubstr("GB")))
      << "a layer of 256 experts has 22.5 GB";
  for (ProfilePoint& point : request.points) {
    if (point.part == "expert_layer") point.point.key.shape[0] = 512;
  }
  const ProfilePlan plan = plan_profile(request);
  EXPECT_THAT(
      left_out(plan),
      HasSubstr("moe_experts [512, 8, 7168, 2048] bf16 (84 points): its weights take 45 GB; "
                "the most is 40"));
}

TEST(ProfilePlan, ABudgetTakesWhatFitsInOrderAndSaysWhatItLeft) {
  PlanRequest request = request_for("Qwen3-30B-A3B", Backend::kCuda);
  const ProfilePlan all = plan_profile(request);
  request.budget = Seconds(10);
  const ProfilePlan some = plan_profile(request);
  EXPECT_LE(some.expected, Seconds(10));
  ASSERT_LT(some.time.size(), all.time.size());
  ASSERT_FALSE(some.time.empty());
  for (std::size_t i = 0; i < some.time.size(); ++i) EXPECT_EQ(some.time[i], all.time[i]);
  EXPECT_THAT(left_out(some), HasSubstr(to_string(all.time[some.time.size()].point)));
  EXPECT_THAT(left_out(some), HasSubstr("repeat the command"));
}

TEST(ProfilePlan, ABudgetNamesTheFirstPointThatIsLeftOutWhateverTheFolderHas) {
  PlanRequest request = request_for("Qwen3-30B-A3B", Backend::kCuda);
  const std::vector<ProfilePoint> all = plan_profile(request).time;
  request.timed = {to_string(all.back().point), to_string(all[all.size() - 3].point)};
  request.budget = Seconds(10);
  const ProfilePlan some = plan_profile(request);
  EXPECT_THAT(left_out(some),
              HasSubstr(fmt::format("{} points from {} on", all.size() - some.time.size() - 2,
                                    to_string(all[some.time.size()].point))));
}

TEST(ProfilePlan, ABudgetCountsTheMakingOfAnAnchorsWeights) {
  const PlanRequest request{.points = profile_points(profiled_model("Qwen3-30B-A3B"),
                                                     {.dtypes = {"f32"}, .ops = {"expert_layer"}}),
                            .backend = Backend::kCpu,
                            .anchors = 3};
  const ProfilePlan plan = plan_profile(request);
  Seconds times{};
  for (const ProfilePoint& point : plan.time) {
    times += expected_time(Backend::kCpu, point.point, request.timing);
  }
  EXPECT_GT((plan.expected - times).value, 3 * (request.timing.anchor().value + 10))
      << "2.4 GB of random numbers take a CPU more than ten seconds";
}

TEST(ProfilePlan, WhatAFolderHasTakesNoTime) {
  PlanRequest request = request_for("OLMoE-1B-7B", Backend::kCuda);
  request.anchors = 10;
  const ProfilePlan fresh = plan_profile(request);
  for (const ProfilePoint& point : fresh.time) request.timed.push_back(to_string(point.point));
  request.with_energy.push_back(to_string(fresh.energy.front().point));
  const ProfilePlan rest = plan_profile(request);
  EXPECT_TRUE(rest.time.empty());
  ASSERT_EQ(rest.energy.size(), 9U);
  for (std::size_t i = 0; i < 9; ++i) EXPECT_EQ(rest.energy[i], fresh.energy[i + 1]);
  EXPECT_EQ(rest.done, static_cast<int>(fresh.time.size()) + 1);
}

TEST(ProfilePlan, AnchorsAreSpreadOverAllPointsInAnOrderBySeed) {
  PlanRequest request = request_for("Qwen3-30B-A3B", Backend::kCuda);
  request.anchors = 20;
  const auto order = plan_profile(request).energy;
  ASSERT_EQ(order.size(), 20U);
  EXPECT_EQ(plan_profile(request).energy, order);
  request.seed = 2;
  const auto other = plan_profile(request).energy;
  EXPECT_NE(other, order);
  EXPECT_TRUE(std::is_permutation(other.begin(), other.end(), order.begin(), order.end()));
}

TEST(ProfilePlan, AListNamesEveryPointAndWhatIsLeftOut) {
  PlanRequest request = request_for("Qwen3-30B-A3B", Backend::kCuda);
  request.anchors = 2;
  const ProfilePlan plan = plan_profile(request);
  const std::string text = to_text(plan, Backend::kCuda, request.timing);
  EXPECT_THAT(text, HasSubstr("moe_experts [128, 8, 2048, 768] bf16 tokens 256 active 128\n"));
  EXPECT_THAT(text, HasSubstr("energy      8.70 s"));
  EXPECT_THAT(text, HasSubstr("left out: attention"));
}

}  // namespace
}  // namespace thermoe
