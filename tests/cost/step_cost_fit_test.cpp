// SPDX-License-Identifier: Apache-2.0
#include "cost/step_cost_fit.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "core/errors.h"
#include "cost/kernel_cost_model.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using testing::kShape;

KernelCostModel model() { return KernelCostModel::from_json(testing::sound_model(), "test.json"); }

/// Loads of `active` experts that together hold `picks` tokens.
std::vector<std::int32_t> loads(int active, int picks) {
  std::vector<std::int32_t> counts(128, 0);
  for (int i = 0; i < active; ++i) counts[i] = picks / active + (i < picks % active ? 1 : 0);
  return counts;
}

TEST(StepCostFit, RecoversTheLineThatMadeTheTable) {
  const StepCostFit fit = model().fit_step_cost(kShape, {"bf16"}, 16, 12.0);
  EXPECT_EQ(fit.step.layer_repeat, 12.0);
  EXPECT_EQ(fit.step.active_idle, Watts(130));
  EXPECT_NEAR(fit.step.layer_constant.latency.value, 10e-6, 1e-12);
  EXPECT_NEAR(fit.step.variants[0].activation().latency.value, 3e-6, 1e-12);
  EXPECT_NEAR(fit.step.variants[0].marginal(3).latency.value, 0.01e-6, 1e-12);
  EXPECT_NEAR(fit.step.variants[0].activation().energy.value, 100e-6, 1e-12);
  EXPECT_LT(fit.reports[0].latency_max, 1e-9);
  EXPECT_LT(fit.reports[0].energy_max, 1e-9);
  EXPECT_EQ(fit.reports[0].basis, Basis::kMeasured);
  EXPECT_EQ(fit.reports[0].rows, 3);
}

TEST(StepCostFit, AStepCostsWhatTheTableSaysHoweverTheTokensSpread) {
  const StepCost step = model().step_cost(kShape, {"bf16"}, 16, 1.0);
  const Lookup table = model().layer(kShape, "bf16", 16, 40);
  EXPECT_NEAR(step.layer(loads(40, 128)).latency.value, table.cost.latency.value, 1e-11);
  EXPECT_NEAR(step.layer(loads(40, 128)).energy.value, table.cost.energy.value, 1e-11);
  EXPECT_NEAR(step.layer(loads(40, 128)).heat.value, table.cost.heat.value, 1e-12);
}

TEST(StepCostFit, ABatchBetweenTwoProfiledOnesIsInterpolated) {
  const StepCostFit fit = model().fit_step_cost(kShape, {"bf16"}, 32, 1.0);
  EXPECT_EQ(fit.reports[0].basis, Basis::kInterpolated);
  EXPECT_NEAR(fit.step.layer(loads(40, 256)).latency.value, (10 + 120 + 0.01 * 216) * 1e-6, 1e-11);
  EXPECT_EQ(model().fit_step_cost(kShape, {"bf16"}, 128, 1.0).reports[0].basis,
            Basis::kExtrapolated);
}

TEST(StepCostFit, ABatchThatNobodyProfiledIsReadAtTheDsOfTheOneNearestByRatio) {
  const auto row = [](double tokens, double active) {
    return CostRow{.tokens = tokens,
                   .active_experts = active,
                   .latency = Seconds(1e-6 * active),
                   .energy = Joules(1e-4 * active)};
  };
  // 4 tokens are 3 from 1 and 4 from 8, but nearer to 8 in ratio: its three rows are read.
  const CostTable table({.op = "moe_experts", .shape = {128, 8, 2048, 768}, .dtype = "bf16"},
                        CostSource::kCupti, "",
                        {row(1, 4), row(1, 8), row(8, 8), row(8, 24), row(8, 40)});
  EXPECT_EQ(fit_step_cost({&table}, 4, 8, 1.0, Watts(130)).reports[0].rows, 3);
}

TEST(StepCostFit, ReportsTheResidualOfATableThatIsNoLine) {
  auto json = testing::sound_model();
  auto& latency = json["entries"][0]["rows"][1]["latency_us"];
  latency = 1.2 * latency.get<double>();
  const auto bent = KernelCostModel::from_json(json, "test.json");
  const StepCostFit fit = bent.fit_step_cost(kShape, {"bf16"}, 16, 1.0);
  EXPECT_GT(fit.reports[0].latency_max, 0.03);
  EXPECT_LT(fit.reports[0].energy_max, 1e-9);
  for (const int active : {20, 40, 100}) {
    const double table = bent.layer(kShape, "bf16", 16, active).cost.latency.value;
    const double error = std::abs(fit.step.layer(loads(active, 128)).latency.value / table - 1.0);
    EXPECT_LE(error, fit.reports[0].latency_max + 1e-9);
  }
}

TEST(StepCostFit, NeverTurnsACoefficientNegative) {
  auto json = testing::sound_model();
  for (auto& row : json["entries"][0]["rows"]) {
    // Through a negative constant, and falling with tokens.
    row["energy_uj"] =
        100.0 * row["active_experts"].get<double>() - 900.0 - row["tokens"].get<double>();
  }
  const auto fit =
      KernelCostModel::from_json(json, "test.json").fit_step_cost(kShape, {"bf16"}, 16, 1.0);
  EXPECT_EQ(fit.step.layer_constant.energy, Joules(0));
  EXPECT_GT(fit.step.variants[0].activation().energy, Joules(0));
  EXPECT_EQ(fit.step.variants[0].marginal(2).energy, Joules(0));
}

TEST(StepCostFit, ACheaperVariantSharesTheLayerConstant) {
  auto json = testing::sound_model();
  auto int4 = json["entries"][0];
  int4["dtype"] = "int4";
  int4["group_size"] = 128;
  for (auto& row : int4["rows"]) row["latency_us"] = 10.0 + row["active_experts"].get<double>();
  json["entries"].push_back(int4);
  const auto mixed = KernelCostModel::from_json(json, "test.json");
  const StepCostFit fit = mixed.fit_step_cost(kShape, {"bf16", "int4"}, 16, 1.0);
  ASSERT_EQ(fit.step.variants.size(), 2u);
  EXPECT_NEAR(fit.step.layer_constant.latency.value, 10e-6, 1e-12);
  EXPECT_NEAR(fit.step.variants[1].activation().latency.value, 1e-6, 1e-12);
  EXPECT_EQ(fit.reports[1].dtype, "int4");
}

TEST(StepCostFit, RefusesTablesThatAreNotExpertLayers) {
  const KernelCostModel m = model();
  EXPECT_THROW(fit_step_cost({&m.tables()[1]}, 16, 8, 1.0, Watts(130)), PreconditionError);
  EXPECT_THROW(fit_step_cost({}, 16, 8, 1.0, Watts(130)), PreconditionError);
}

}  // namespace
}  // namespace thermoe
