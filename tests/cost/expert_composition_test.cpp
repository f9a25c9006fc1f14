// SPDX-License-Identifier: Apache-2.0
#include "cost/expert_composition.h"

#include <gtest/gtest.h>

#include "cost_model_fixture.h"

namespace thermoe {
namespace {

nlohmann::json entry(const char* op, std::vector<int> shape, const char* dtype, double us,
                     double uj) {
  return {{"op", op},
          {"shape", shape},
          {"dtype", dtype},
          {"source", "cupti"},
          {"rows",
           {{{"tokens", 1}, {"latency_us", us}, {"energy_uj", uj}},
            {{"tokens", 11}, {"latency_us", us + 10}, {"energy_uj", uj + 20}}}}};
}

KernelCostModel model() {
  auto json = testing::sound_model();
  auto& e = json["entries"];
  e.push_back(entry("linear", {96, 64}, "bf16", 3, 30));
  e.push_back(entry("linear", {64, 48}, "bf16", 2, 20));
  e.push_back(entry("activation_silu_mul", {48}, "bf16", 1, 10));
  for (const auto& shape : {std::vector{96, 64}, std::vector{64, 48}}) {
    e.push_back(entry("dequant_unpack", shape, "int4", 50, 500));
    e.push_back(entry("fused_dequant_linear", shape, "int4", 1.5, 7));
    e.back()["group_size"] = 128;
  }
  return KernelCostModel::from_json(json, "test.json");
}

constexpr ExpertMlp kMlp{.d_model = 64, .d_ff = 48, .activation = ExpertActivation::kSiluMul};

TEST(ExpertComposition, ASimpleExpertIsFc1ActivationFc2) {
  const ExpertComposition expert = simple_expert(model(), kMlp, "bf16", 1);
  ASSERT_TRUE(expert.cost);
  EXPECT_NEAR(expert.cost->latency.value, 6e-6, 1e-15);
  EXPECT_NEAR(expert.cost->energy->value, 60e-6, 1e-15);
  EXPECT_EQ(expert.cost->basis, Basis::kMeasured);
  ASSERT_EQ(expert.ops.size(), 3u);
  EXPECT_EQ(to_string(expert.ops[0]), "linear [96, 64] bf16");
  EXPECT_EQ(to_string(expert.ops[1]), "activation_silu_mul [48] bf16");
}

TEST(ExpertComposition, AQuantizedExpertUnpacksOrFuses) {
  const auto unfused =
      quantized_expert(model(), kMlp, QuantizedPath::kUnpackThenLinear, "bf16", {}, 6);
  ASSERT_TRUE(unfused.cost);
  EXPECT_NEAR(unfused.cost->latency.value, (50 + 3 + 1 + 50 + 2 + 5 * 5) * 1e-6, 1e-15);
  EXPECT_EQ(unfused.cost->basis, Basis::kInterpolated);
  const auto fused = quantized_expert(model(), kMlp, QuantizedPath::kFused, "bf16", 128, 6);
  ASSERT_TRUE(fused.cost);
  EXPECT_NEAR(fused.cost->latency.value, (1.5 + 1 + 1.5 + 3 * 5) * 1e-6, 1e-15);
}

TEST(ExpertComposition, HasTheWeakestBasisOfItsOps) {
  EXPECT_EQ(simple_expert(model(), kMlp, "bf16", 50).cost->basis, Basis::kExtrapolated);
}

TEST(ExpertComposition, IsConvexInTokensAsItsOpsAre) {
  double before = 0.0, slope = 0.0;
  for (int n = 1; n < 30; ++n) {
    const double cost = simple_expert(model(), kMlp, "bf16", n).cost->energy->value;
    if (n > 1) {
      EXPECT_GE(cost - before, slope - 1e-15);
      slope = cost - before;
    }
    before = cost;
  }
}

TEST(ExpertComposition, NamesTheOpsThatNobodyProfiled) {
  const ExpertMlp gelu{.d_model = 64, .d_ff = 48, .activation = ExpertActivation::kGelu};
  const ExpertComposition expert = simple_expert(model(), gelu, "bf16", 1);
  EXPECT_FALSE(expert.cost);
  ASSERT_EQ(expert.missing.size(), 2u);
  EXPECT_EQ(to_string(expert.missing[0]), "linear [48, 64] bf16");
  EXPECT_EQ(to_string(expert.missing[1]), "activation_gelu [48] bf16");
}

TEST(ExpertComposition, LacksEnergyWhereAnOpDoes) {
  auto json = testing::sound_model();
  auto& e = json["entries"];
  e.push_back(entry("linear", {96, 64}, "bf16", 3, 30));
  e.push_back(entry("linear", {64, 48}, "bf16", 2, 20));
  e.push_back(entry("activation_silu_mul", {48}, "bf16", 1, 10));
  e.back()["rows"] = {{{"tokens", 1}, {"latency_us", 1.0}}};
  const auto expert = simple_expert(KernelCostModel::from_json(json, "t"), kMlp, "bf16", 1);
  ASSERT_TRUE(expert.cost);
  EXPECT_FALSE(expert.cost->energy);
  EXPECT_FALSE(expert.cost->heat);
}

}  // namespace
}  // namespace thermoe
