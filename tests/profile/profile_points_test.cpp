// SPDX-License-Identifier: Apache-2.0
#include "profile/ops/profile_points.h"

#include <gmock/gmock.h>

#include <set>

#include "core/errors.h"
#include "profile/ops/op_traffic.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> names(const std::vector<ProfilePoint>& points) {
  std::vector<std::string> all;
  for (const ProfilePoint& point : points) all.push_back(to_string(point.point));
  return all;
}

TEST(ProfilePoints, AModelIsProfiledAtItsOwnSizes) {
  const auto points =
      names(profile_points(profiled_model("Qwen3-30B-A3B"),
                           {.tokens = {16}, .active = {48}, .dtypes = {"bf16", "int4"}}));
  EXPECT_THAT(points, Contains("moe_experts [128, 8, 2048, 768] bf16 tokens 16 active 48"));
  EXPECT_THAT(points,
              Contains("moe_experts [128, 8, 2048, 768] int4 group 128 tokens 16 active 48"));
  EXPECT_THAT(points, Contains("topk_route [128, 8] f32 tokens 16"));
  EXPECT_THAT(points, Contains("linear [1536, 2048] bf16 tokens 16")) << "gate and up in one";
  EXPECT_THAT(points, Contains("fused_dequant_linear [2048, 768] int4 group 128 tokens 16"));
  EXPECT_THAT(points, Contains("dequant_unpack [2048, 768] int4 group 128 tokens 1"));
  EXPECT_THAT(points, Contains("activation_silu_mul [768] bf16 tokens 16"));
  EXPECT_THAT(points, Contains("decode_attention [32, 128, 1024] f32 tokens 16"));
}

TEST(ProfilePoints, ABatchIsAskedForNoMoreExpertsThanItCanReach) {
  const auto points = profile_points(
      profiled_model("gpt-oss-20b"),
      {.tokens = {1, 16}, .active = {1, 8, 128}, .dtypes = {"bf16"}, .ops = {"expert_layer"}});
  EXPECT_THAT(names(points),
              ElementsAre("moe_experts [32, 4, 2880, 2880] bf16 tokens 1 active 1",
                          "moe_experts [32, 4, 2880, 2880] bf16 tokens 1 active 4",
                          "moe_experts [32, 4, 2880, 2880] bf16 tokens 16 active 1",
                          "moe_experts [32, 4, 2880, 2880] bf16 tokens 16 active 8",
                          "moe_experts [32, 4, 2880, 2880] bf16 tokens 16 active 32"));
}

TEST(ProfilePoints, NoPointStandsTwiceAndEachNameReadsBack) {
  for (const ProfiledModel& model : profiled_models()) {
    const auto points = profile_points(model, {.dtypes = {"f32", "bf16", "int4"}});
    const auto all = names(points);
    EXPECT_EQ(std::set<std::string>(all.begin(), all.end()).size(), all.size());
    for (const ProfilePoint& point : points) {
      EXPECT_EQ(read_op_point(to_string(point.point)), point.point);
      EXPECT_GT(traffic_of(point.point).bytes, 0.0) << to_string(point.point);
    }
  }
}

TEST(ProfilePoints, AnOpMayBeChosenByItsNameInTheCostModel) {
  const auto points =
      profile_points(profiled_model("OLMoE-1B-7B"),
                     {.tokens = {1}, .dtypes = {"bf16", "int4"}, .ops = {"fused_dequant_linear"}});
  ASSERT_EQ(points.size(), 3U);
  EXPECT_EQ(points[0].part, "fc1");
  EXPECT_EQ(points[1].part, "gate_up");
  EXPECT_EQ(points[2].part, "fc2");
}

TEST(ProfilePoints, ASweepChangesOneSize) {
  const ExpertShape& base = profiled_model("Qwen3-30B-A3B").experts;
  for (const ProfiledModel& model : sweep_models(SweepAxis::kExpertWidth)) {
    EXPECT_EQ(model.experts.d_model, base.d_model);
    EXPECT_EQ(model.experts.experts, base.experts);
    EXPECT_THAT(model.experts.name, HasSubstr(std::to_string(model.experts.d_ff)));
  }
}

TEST(ProfilePoints, AModelThatIsNotKnownIsRefusedWithTheNearest) {
  try {
    profiled_model("Qwen3-30B-A4B");
    FAIL();
  } catch (const UsageError& error) {
    EXPECT_THAT(error.what(), HasSubstr("did you mean Qwen3-30B-A3B?"));
  }
}

TEST(OpTraffic, AnExpertLayerReadsItsActiveExpertsOnly) {
  const auto point = read_op_point("moe_experts [128, 8, 2048, 768] bf16 tokens 16 active 64");
  const OpTraffic traffic = traffic_of(*point);
  const double expert = 3.0 * 2048 * 768 * 2;
  EXPECT_DOUBLE_EQ(traffic.weight_bytes, 128 * expert);
  EXPECT_DOUBLE_EQ(traffic.bytes, 64 * expert + 2.0 * 16 * 2048 * 2);
  EXPECT_DOUBLE_EQ(traffic.flops, 2.0 * 16 * 8 * 3 * 2048 * 768);
  const auto int4 = read_op_point("linear [4, 8] int4 group 128 tokens 1");
  EXPECT_DOUBLE_EQ(traffic_of(*int4).weight_bytes, 32 * (0.5 + 4.0 / 128));
}

}  // namespace
}  // namespace thermoe
