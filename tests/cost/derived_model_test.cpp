// SPDX-License-Identifier: Apache-2.0
// The shipped models against the measurements that they were derived from (data/h100).
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "cost/kernel_cost_model.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using testing::kShape;

KernelCostModel shipped(const std::string& name) {
  return KernelCostModel::load(fmt::format("{}/data/h100/{}", THERMOE_SOURCE_DIR, name));
}
KernelCostModel controller() { return shipped("kernel_cost_model.json"); }
KernelCostModel plant() { return shipped("plant_cost_model.json"); }

std::vector<std::int32_t> loads(int active, int picks) {
  std::vector<std::int32_t> counts(128, 0);
  for (int i = 0; i < active; ++i) counts[i] = picks / active + (i < picks % active ? 1 : 0);
  return counts;
}

TEST(DerivedCostModel, BothFilesNameTheModelOfTheirExpertTables) {
  for (const KernelCostModel& model : {controller(), plant()}) {
    const ExpertShape* shape = model.find_shape("Qwen3-30B-A3B");
    ASSERT_TRUE(shape);
    ExpertShape bare = *shape;
    bare.published.clear();
    EXPECT_EQ(bare, kShape);
    EXPECT_EQ(shape->published, (std::vector<PublishedActive>{{16, 48.8, "arXiv 2511.02237"}}));
  }
}

TEST(DerivedCostModel, FortyEightLayersAtEightyTwoExpertsTakeAboutThirteenMilliseconds) {
  for (const KernelCostModel& model : {controller(), plant()}) {
    const Lookup layer = model.layer(kShape, "bf16", 16, 82);
    EXPECT_EQ(layer.basis, Basis::kMeasured);
    EXPECT_NEAR(48 * layer.cost.latency.value, 12.7e-3, 0.1e-3);
  }
}

TEST(DerivedCostModel, ThePlantDrawsWhatTheGpuDrewAtAFixedRate) {
  const KernelCostModel model = plant();
  const struct {
    double active, watts;
  } measured[] = {{82, 469.7}, {64, 397.6}, {40, 294.1}, {24, 222.8}};
  for (const auto& m : measured) {
    const Cost step = 48.0 * model.layer(kShape, "bf16", 16, m.active).cost;
    EXPECT_NEAR(mean_power(step, Seconds(0.016), model.active_idle()).value, m.watts, 0.5);
  }
}

TEST(DerivedCostModel, TheControllerIsWrongAboutThePlantByAFewPercent) {
  for (const double active : {24.0, 40.0, 64.0, 82.0}) {
    const Cost c = controller().layer(kShape, "bf16", 16, active).cost;
    const Cost p = plant().layer(kShape, "bf16", 16, active).cost;
    EXPECT_NEAR(c.latency / p.latency, 1.0, 0.05) << active;
    EXPECT_GT(c.energy / p.energy, 1.02) << active;
    EXPECT_LT(c.energy / p.energy, 1.15) << active;
  }
}

TEST(DerivedCostModel, AStepCostsWhatTheTableSaysWithinTheResidualOfTheFit) {
  for (const char* dtype : {"bf16", "int4"}) {
    const KernelCostModel model = controller();
    const StepCostFit fit = model.fit_step_cost(kShape, {dtype}, 16, 1.0);
    const FitReport& report = fit.reports[0];
    EXPECT_LT(report.latency_max, 0.06) << dtype;
    EXPECT_LT(report.energy_rms, 0.08) << dtype;
    for (const int active : {24, 40, 64, 82}) {
      const Cost table = model.layer(kShape, dtype, 16, active).cost;
      const Cost fitted = fit.step.layer(loads(active, 128));
      EXPECT_LE(std::abs(fitted.latency / table.latency - 1.0), report.latency_max + 1e-6);
      EXPECT_LE(std::abs(fitted.energy / table.energy - 1.0), report.energy_max + 1e-6);
    }
  }
}

TEST(DerivedCostModel, EveryActiveExpertCostsAboutThreeMicroseconds) {
  const StepCost step = controller().step_cost(kShape, {"bf16", "int4"}, 16, 12.0);
  EXPECT_NEAR(step.variants[0].activation().latency.value, 3.0e-6, 0.2e-6);
  EXPECT_LT(step.variants[1].activation().latency.value, 1.1e-6);
  EXPECT_LT(step.variants[1].activation().energy.value,
            0.5 * step.variants[0].activation().energy.value);
}

TEST(DerivedCostModel, AFusedInt4LinearIsFasterThanADenseOneAndUnpackingAloneSlowerThanBoth) {
  const KernelCostModel model = controller();
  const auto cost = [&](const char* op, const char* dtype, std::optional<int> group) {
    const CostTable* table = model.find({op, {14336, 4096}, dtype, group});
    EXPECT_TRUE(table) << op;
    return table ? table->at(16) : OpCost{};
  };
  const OpCost dense = cost("linear", "f16", {});
  const OpCost fused = cost("fused_dequant_linear", "int4", 128);
  const OpCost unpack = cost("dequant_unpack", "int4", 128);
  EXPECT_LT(fused.latency, dense.latency);
  EXPECT_GT(unpack.latency.value, 5.0 * fused.latency.value);
  EXPECT_TRUE(fused.energy);
  EXPECT_FALSE(unpack.energy);  // nobody measured the unpacking's joules
}

}  // namespace
}  // namespace thermoe
