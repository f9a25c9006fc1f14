// SPDX-License-Identifier: Apache-2.0
#include "cost/kernel_cost_model.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;
using testing::kShape;

KernelCostModel model() { return KernelCostModel::from_json(testing::sound_model(), "test.json"); }
const OpKey kLinear{.op = "linear", .shape = {1536, 2048}, .dtype = "bf16"};

TEST(KernelCostModel, FindsAnOpByShapeAndDtypeAndNothingElse) {
  const KernelCostModel m = model();
  ASSERT_TRUE(m.find(kLinear));
  EXPECT_NEAR(m.find(kLinear)->at(4).latency.value, 9e-6, 1e-15);
  EXPECT_FALSE(m.find({.op = "linear", .shape = {1536, 2048}, .dtype = "f16"}));
  EXPECT_FALSE(m.find({.op = "linear", .shape = {1536, 4096}, .dtype = "bf16"}));
  EXPECT_FALSE(m.find({.op = "topk_route", .shape = {128, 8}, .dtype = "f32"}));
}

TEST(KernelCostModel, HeatIsTheImmediateRiseOfAFirstOrderThermalModel) {
  // 100 uJ * 0.05 K/W / 20 s
  const KernelCostModel derived = model();
  EXPECT_NEAR(derived.find(kLinear)->at(1).heat->value, 100e-6 * 0.05 / 20.0, 1e-18);
  auto json = testing::sound_model();
  json["entries"][1]["rows"][0]["heat_uk"] = 7.0;
  const auto own = KernelCostModel::from_json(json, "t");
  EXPECT_NEAR(own.find(kLinear)->at(1).heat->value, 7e-6, 1e-18);
}

TEST(KernelCostModel, WithoutAThermalModelHeatIsAbsentAndAskingForItSaysWhy) {
  auto json = testing::sound_model();
  json.erase("thermal");
  const auto cold = KernelCostModel::from_json(json, "cold.json");
  EXPECT_FALSE(cold.has_thermal());
  EXPECT_FALSE(cold.find(kLinear)->at(1).heat);
  try {
    cold.thermal();
    FAIL();
  } catch (const FormatError& e) {
    EXPECT_THAT(e.what(), HasSubstr("cold.json: /thermal: is missing"));
  }
}

TEST(KernelCostModel, HandsOutTheHeader) {
  EXPECT_EQ(model().active_idle(), Watts(130));
  EXPECT_EQ(model().header().cold_idle, Watts(72));
  EXPECT_EQ(model().device(), "Test GPU");
  EXPECT_EQ(model().thermal().resistance, KelvinPerWatt(0.05));
  EXPECT_EQ(model().header().memory_clock, Megahertz(2619));
  EXPECT_TRUE(model().perturbation().thermal);
}

TEST(KernelCostModel, ALayerIsReadFromTheExpertTable) {
  const Lookup at = model().layer(kShape, "bf16", 16, 40);
  EXPECT_EQ(at.basis, Basis::kMeasured);
  EXPECT_NEAR(at.cost.latency.value, (10 + 120 + 0.88) * 1e-6, 1e-15);
  EXPECT_EQ(model().layer(kShape, "bf16", 16, 41.5).basis, Basis::kInterpolated);
  EXPECT_EQ(model().layer(kShape, "bf16", 16, 8).basis, Basis::kExtrapolated);
}

TEST(KernelCostModel, ALayerThatNobodyProfiledIsRefusedByFileAndRemedy) {
  try {
    model().layer(kShape, "int4", 16, 40);
    FAIL();
  } catch (const UsageError& e) {
    EXPECT_THAT(e.what(),
                HasSubstr("test.json: /entries: no single table moe_experts [128, 8, 2048, "
                          "768] int4"));
    EXPECT_THAT(e.what(), HasSubstr("the file has: moe_experts [128, 8, 2048, 768] bf16"));
  }
  ExpertShape plain = kShape;
  plain.gated = false;
  EXPECT_THROW(model().step_cost(plain, {"bf16"}, 16, 1.0), UsageError);
}

TEST(KernelCostModel, SeveralGroupSizesMustBeToldApart) {
  auto json = testing::sound_model();
  for (const int group : {32, 128}) {
    json["entries"].push_back({{"op", "fused_dequant_linear"},
                               {"shape", {64, 64}},
                               {"dtype", "int4"},
                               {"group_size", group},
                               {"source", "ncu"},
                               {"rows", {{{"tokens", 1}, {"latency_us", group}}}}});
  }
  const auto two = KernelCostModel::from_json(json, "t");
  OpKey key{.op = "fused_dequant_linear", .shape = {64, 64}, .dtype = "int4"};
  EXPECT_FALSE(two.find(key));
  key.group_size = 32;
  ASSERT_TRUE(two.find(key));
  EXPECT_NEAR(two.find(key)->at(1).latency.value, 32e-6, 1e-15);
  key.group_size = 64;
  EXPECT_FALSE(two.find(key));
}

TEST(KernelCostModel, AScaledModelCostsMoreEnergyInTheSameTime) {
  const auto dearer = model().with_energy_scale(1.15);
  const Lookup a = model().layer(kShape, "bf16", 16, 40);
  const Lookup b = dearer.layer(kShape, "bf16", 16, 40);
  EXPECT_NEAR(b.cost.energy.value, 1.15 * a.cost.energy.value, 1e-12);
  EXPECT_EQ(b.cost.latency, a.cost.latency);
  EXPECT_EQ(dearer.active_idle(), Watts(130));
  EXPECT_THROW(model().with_energy_scale(0.0), PreconditionError);
}

TEST(KernelCostModel, NamesTheModelsThatItHoldsTablesFor) {
  auto json = testing::sound_model();
  EXPECT_EQ(KernelCostModel::from_json(json, "m.json").find_shape(kShape.name), nullptr);
  json["models"] = {{{"name", "Qwen3-30B-A3B"}, {"layers", 48}, {"shape", {128, 8, 2048, 768}}},
                    {{"name", "Plain"},
                     {"layers", 3},
                     {"shape", {4, 2, 64, 32}},
                     {"gated", false},
                     {"published_active_experts",
                      {{{"tokens", 16}, {"active_experts", 3.5}, {"source", "a paper"}}}}}};
  const auto named = KernelCostModel::from_json(json, "m.json");
  ASSERT_TRUE(named.find_shape(kShape.name));
  EXPECT_EQ(*named.find_shape(kShape.name), kShape);
  ASSERT_TRUE(named.find_shape("Plain"));
  EXPECT_FALSE(named.find_shape("Plain")->gated);
  EXPECT_EQ(named.find_shape("Plain")->published,
            (std::vector<PublishedActive>{{16, 3.5, "a paper"}}));
  EXPECT_EQ(named.find_shape("plain"), nullptr);
}

TEST(KernelCostModel, KnowsItsSensorsLagWhereTheFileDoes) {
  auto json = testing::sound_model();
  EXPECT_FALSE(KernelCostModel::from_json(json, "m.json").header().sensors.has_value());
  json["sensors"] = {{"delay_s", 0.2}, {"window_s", 0.05}, {"method", "steps of load"}};
  EXPECT_EQ(KernelCostModel::from_json(json, "m.json").header().sensors,
            (SensorLag{.delay = Seconds(0.2), .window = Seconds(0.05)}));
}

}  // namespace
}  // namespace thermoe
