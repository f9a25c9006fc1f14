// SPDX-License-Identifier: Apache-2.0
#include "cost/whole_step.h"

#include <gmock/gmock.h>

#include "core/errors.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::HasSubstr;

/// The sound model with what steps of Qwen3-30B-A3B cost beside their experts, by engine.
KernelCostModel costs_of(const std::vector<std::string>& engines, bool joules = true) {
  nlohmann::json json = testing::sound_model();
  json["schema"] = 2;
  json["models"] = {{{"name", "Qwen3-30B-A3B"}, {"layers", 48}, {"shape", {128, 8, 2048, 768}}}};
  json["other"] = nlohmann::json::array();
  double microseconds = 4000.0;
  for (const std::string& engine : engines) {
    nlohmann::json row = {{"batch", 16}, {"context", 100}, {"latency_us", microseconds}};
    if (joules) row["energy_uj"] = 300000.0;
    json["other"].push_back(
        {{"model", "Qwen3-30B-A3B"}, {"engine", engine}, {"source", "derived"}, {"rows", {row}}});
    microseconds += 1000.0;
  }
  return KernelCostModel::from_json(json, "m.json");
}

const WholeStepQuestion kOf{.shape = testing::kShape, .batch = 16};

TEST(WholeStepCosts, OfARealRunAreThoseOfTheLoadProxyAndOfNoOtherEngine) {
  const WholeStep proxy = load_proxy_step(costs_of({"A", kLoadProxyEngine}), testing::kShape, 16);
  EXPECT_NEAR(proxy.cost().latency.value, 5e-3, 1e-12);
  EXPECT_FALSE(load_proxy_step(costs_of({"A"}), testing::kShape, 16).other);
  EXPECT_FALSE(load_proxy_step(costs_of({}), testing::kShape, 16).other);
}

TEST(WholeStepCosts, AreThoseOfTheOnlyEngineOrOfTheOneThatIsAskedFor) {
  const WholeStep only = whole_step(costs_of({"A"}), kOf);
  EXPECT_NEAR(only.cost().latency.value, 4e-3, 1e-12);
  EXPECT_NEAR(only.cost().energy.value, 0.3, 1e-12);
  EXPECT_NEAR(only.cost().heat.value, 0.05 * 0.3 / 20.0, 1e-12) << "as the file's heat has it";
  EXPECT_EQ(only.context, 100.0);
  WholeStepQuestion second = kOf;
  second.engine = "B";
  EXPECT_NEAR(whole_step(costs_of({"A", "B"}), second).cost().latency.value, 5e-3, 1e-12);
  EXPECT_EQ(only.lookup().basis, Basis::kMeasured);
  WholeStepQuestion larger = kOf;
  larger.batch = 64;
  EXPECT_EQ(whole_step(costs_of({"A"}), larger).lookup().basis, Basis::kExtrapolated);
  EXPECT_THAT(coverage(only), HasSubstr("expert layers and 4.00 ms, 300 mJ beside them"));
  EXPECT_THAT(coverage(whole_step(costs_of({"A"}, false), kOf)), HasSubstr("no known joules"));
}

TEST(WholeStepCosts, OfAnEngineAreThoseOfEachNumberOfRows) {
  const KernelCostModel model = costs_of({"A"});
  const ServingEngine engine{.batch_limit = 16, .graph_sizes = {1, 8, 16}};
  const BatchCosts costs = batch_costs(model, engine, {"bf16"}, kOf, 1.0);
  ASSERT_EQ(costs.points().size(), 3U);
  for (const auto& [rows, step] : costs.points()) {
    WholeStepQuestion question = kOf;
    question.batch = rows;
    const StepCost alone = with_other(model.step_cost(testing::kShape, {"bf16"}, rows, 1.0),
                                      whole_step(model, question), testing::kShape.layers);
    EXPECT_EQ(step.layer_constant.latency, alone.layer_constant.latency) << rows;
    EXPECT_EQ(step.variants[0].activation().energy, alone.variants[0].activation().energy);
  }
}

TEST(WholeStepCosts, AreAbsentWithTheReasonWhereTheyAreNotKnown) {
  const WholeStep of_two = whole_step(costs_of({"A", "B"}), kOf);
  EXPECT_FALSE(of_two.other);
  EXPECT_THAT(of_two.experts_only_since, HasSubstr("choose with --engine: Qwen3-30B-A3B on A; "));
  EXPECT_EQ(coverage(of_two), "expert layers only");
  WholeStepQuestion shallow = kOf;
  shallow.shape.layers = 24;
  EXPECT_THAT(whole_step(costs_of({"A"}), shallow).experts_only_since, HasSubstr("--layers 48"));
  WholeStepQuestion other = kOf;
  other.shape.d_ff = 1;
  EXPECT_THAT(whole_step(costs_of({"A"}), other).experts_only_since, HasSubstr("fit-step"));
  EXPECT_FALSE(knows_others(costs_of({"A"}), other.shape));
  EXPECT_TRUE(knows_others(costs_of({"A", "B"}), kOf.shape));
  other.engine = "C";
  EXPECT_THROW(whole_step(costs_of({"A"}), other), UsageError);
}

TEST(WholeStepCosts, StandOnceInAStepHoweverManyLayersTheModelHas) {
  const KernelCostModel costs = costs_of({"A"});
  const WholeStep step = whole_step(costs, kOf);
  for (const int layers : {1, 4, 48}) {
    const StepCost experts = costs.step_cost(testing::kShape, {"bf16"}, 16, 48.0 / layers);
    RoutingStats stats{.layers = layers, .experts = 128, .tokens = 16};
    stats.counts.assign(static_cast<std::size_t>(128 * layers), 1);
    const Cost more = with_other(experts, step, 48).step(stats);
    EXPECT_NEAR((more.latency - experts.step(stats).latency).value, 4e-3, 1e-12);
    EXPECT_NEAR((more.energy - experts.step(stats).energy).value, 0.3, 1e-9);
  }
}

TEST(WholeStepCosts, ChangeNothingToTheLastBitWhereTheyAreNotKnown) {
  const KernelCostModel costs = KernelCostModel::from_json(testing::sound_model(), "m.json");
  const StepCost experts = costs.step_cost(testing::kShape, {"bf16"}, 16, 12.0);
  const StepCost same = with_other(experts, whole_step(costs, kOf), 48);
  EXPECT_EQ(same.layer_constant.latency, experts.layer_constant.latency);
  EXPECT_EQ(same.layer_constant.energy, experts.layer_constant.energy);
  EXPECT_EQ(whole_step(costs, kOf).cost().latency, Seconds(0));
}

}  // namespace
}  // namespace thermoe
