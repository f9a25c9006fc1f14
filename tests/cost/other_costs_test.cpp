// SPDX-License-Identifier: Apache-2.0
#include "cost/other_costs.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/errors.h"
#include "core/json_file.h"
#include "cost/cost_report.h"
#include "cost/cost_writer.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

OtherRow row(double batch, double microseconds, std::optional<int> graph = std::nullopt,
             std::optional<double> context = std::nullopt) {
  return {.batch = batch,
          .graph_size = graph,
          .context = context,
          .latency = Seconds(1e-6 * microseconds),
          .energy = Joules(1e-6 * 100.0 * microseconds)};
}

OtherCosts costs(std::vector<OtherRow> rows) {
  return {"A", "engine 1", CostSource::kDerived, "", std::move(rows)};
}

double microseconds(const OpCost& cost) { return 1e6 * cost.latency.value; }

TEST(OtherCosts, AreLinearInBatchAndContext) {
  const OtherCosts other = costs(
      {row(8, 100, {}, 0), row(8, 200, {}, 1000), row(16, 300, {}, 0), row(16, 500, {}, 1000)});
  EXPECT_NEAR(microseconds(other.at(16, 0)), 300.0, 1e-9);
  EXPECT_EQ(other.at(16, 0).basis, Basis::kMeasured);
  EXPECT_NEAR(microseconds(other.at(12, 500)), 275.0, 1e-9);
  EXPECT_EQ(other.at(12, 500).basis, Basis::kInterpolated);
  EXPECT_NEAR(1e6 * other.at(12, 500).energy->value, 27500.0, 1e-6);
  EXPECT_EQ(other.at(12, 2000).basis, Basis::kExtrapolated);
  EXPECT_NEAR(microseconds(other.at(16)), 300.0, 1e-9) << "no context: the least";
  EXPECT_EQ(other.least_context(), 0.0);
}

TEST(OtherCosts, AStepRunsTheLeastGraphThatHoldsItsBatch) {
  const OtherCosts other = costs({row(4, 100, 4), row(16, 400, 16), row(64, 900, 64)});
  EXPECT_NEAR(microseconds(other.at(4)), 100.0, 1e-9);
  EXPECT_NEAR(microseconds(other.at(5)), 400.0, 1e-9) << "padding rows run too";
  EXPECT_EQ(other.at(5).basis, Basis::kMeasured);
  EXPECT_NEAR(microseconds(other.at(17)), 900.0, 1e-9);
  EXPECT_NEAR(microseconds(other.at(100)), 900.0, 1e-9);
  EXPECT_EQ(other.at(100).basis, Basis::kExtrapolated);
}

TEST(OtherCosts, RowsThatCannotStandTogetherAreRefused) {
  EXPECT_THROW(costs({}), PreconditionError);
  EXPECT_THROW(costs({row(16, 1), row(8, 1)}), PreconditionError);
  EXPECT_THROW(costs({row(8, 1), row(8, 1)}), PreconditionError);
  EXPECT_THROW(costs({row(8, 1, 8), row(16, 1)}), PreconditionError);
  EXPECT_THROW(costs({row(8, 1), row(16, 1, {}, 5.0)}), PreconditionError);
  EXPECT_THROW(costs({row(8, 1, 4)}), PreconditionError) << "a graph holds its batch";
}

nlohmann::json whole_model() {
  nlohmann::json json = testing::sound_model();
  json["schema"] = 2;
  json["models"] = {{{"name", "A"}, {"layers", 3}, {"shape", {128, 8, 2048, 768}}},
                    {{"name", "B"}, {"layers", 4}, {"shape", {128, 8, 2048, 768}}}};
  json["other"] = {{{"model", "A"},
                    {"engine", "engine 1"},
                    {"source", "derived"},
                    {"method", "by hand"},
                    {"rows",
                     {{{"batch", 8}, {"graph_size", 8}, {"context", 10}, {"latency_us", 100.0}},
                      {{"batch", 16},
                       {"graph_size", 16},
                       {"context", 10},
                       {"latency_us", 150.0},
                       {"energy_uj", 9000.0},
                       {"samples", 3},
                       {"spread", 0.02},
                       {"energy_spread", 0.1}}}}},
                   {{"model", "A"},
                    {"engine", "engine 2"},
                    {"source", "cupti"},
                    {"rows", {{{"batch", 8}, {"latency_us", 90.0}}}}}};
  return json;
}

std::string refusal(const nlohmann::json& json) {
  try {
    KernelCostModel::from_json(json, "m.json");
  } catch (const FormatError& e) {
    return e.what();
  }
  return "accepted";
}

TEST(OtherSchema, SeveralModelsAndEnginesSurviveWriting) {
  const KernelCostModel model = KernelCostModel::from_json(whole_model(), "m.json");
  ASSERT_EQ(model.others().size(), 2u);
  const nlohmann::json written = to_json(model);
  EXPECT_TRUE(KernelCostModel::from_json(written, "m.json") == model);
  EXPECT_EQ(written["other"], whole_model()["other"]);
  EXPECT_EQ(written["schema"], 2);
}

TEST(OtherSchema, TheFirstSchemaLoadsAndIsWrittenWhereItSuffices) {
  const KernelCostModel model = KernelCostModel::from_json(testing::sound_model(), "m.json");
  EXPECT_TRUE(model.others().empty());
  EXPECT_EQ(to_json(model)["schema"], 1);
  EXPECT_FALSE(to_json(model).contains("other"));
  nlohmann::json second = testing::sound_model();
  second["schema"] = 2;
  EXPECT_TRUE(KernelCostModel::from_json(second, "m.json") == model);
}

TEST(OtherSchema, RefusalsNameFileKeyAndRemedy) {
  const auto with = [](const char* pointer, const nlohmann::json& value) {
    nlohmann::json json = whole_model();
    json[nlohmann::json::json_pointer(pointer)] = value;
    return refusal(json);
  };
  EXPECT_THAT(with("/schema", 1),
              AllOf(StartsWith("m.json: /other: "), HasSubstr("set \"schema\": 2")));
  EXPECT_THAT(with("/other/0/model", "C"),
              AllOf(StartsWith("m.json: /other/0/model: is \"C\""), HasSubstr("A, B")));
  EXPECT_THAT(with("/other/1/engine", "engine 1"),
              StartsWith("m.json: /other/1: repeats A on engine 1 of /other/0"));
  EXPECT_THAT(with("/other/0/rows/1/batch", 17),
              AllOf(StartsWith("m.json: /other/0/rows/1/graph_size: is 16"), HasSubstr("17")));
  EXPECT_THAT(with("/other/0/rows/1/graph_size", nullptr),
              AllOf(StartsWith("m.json: /other/0/rows/1/graph_size: is missing"),
                    HasSubstr("all or none")));
  EXPECT_THAT(with("/other/0/rows/1/latency_us", -1), StartsWith("m.json: /other/0/rows/1/lat"));
  EXPECT_THAT(with("/other/0/rows/1/energy", 1), HasSubstr("\"energy_uj\""));
  EXPECT_THAT(with("/other/0/rows", nlohmann::json::array()),
              StartsWith("m.json: /other/0/rows: is empty"));
  EXPECT_THAT(with("/other", 3), StartsWith("m.json: /other: "));
  nlohmann::json nameless = whole_model();
  nameless.erase("models");
  EXPECT_THAT(refusal(nameless),
              AllOf(StartsWith("m.json: /other/0/model: "), HasSubstr("add the model's name")));
}

TEST(OtherSchema, ScaledEnergiesScaleTheWholeStep) {
  const KernelCostModel scaled =
      KernelCostModel::from_json(whole_model(), "m.json").with_energy_scale(2.0);
  EXPECT_NEAR(scaled.others()[0].at(16).energy->value, 0.018, 1e-12);
  EXPECT_FALSE(scaled.others()[1].at(8).energy) << "unknown stays unknown";
}

TEST(CostShow, SaysOfWhichModelsOnlyExpertLayersAreKnown) {
  const std::string text = show_text(KernelCostModel::from_json(whole_model(), "m.json"), false);
  EXPECT_THAT(text, AllOf(HasSubstr("Expert layers only of B"), HasSubstr("A on engine 1"),
                          HasSubstr("batch 16, graph of 16, context 10: 150 us (+-2 %), 9000 uJ")));
  const KernelCostModel bare = KernelCostModel::from_json(testing::sound_model(), "m.json");
  EXPECT_THAT(show_text(bare, false), HasSubstr("Expert layers only: "));
  EXPECT_EQ(show_json(bare)["covers"], "expert layers only");
  nlohmann::json all = whole_model();
  all["models"].erase(1);
  const KernelCostModel whole = KernelCostModel::from_json(all, "m.json");
  EXPECT_THAT(show_text(whole, false), Not(HasSubstr("xpert layers only")));
  EXPECT_FALSE(show_json(whole).contains("covers"));
}

TEST(CostCheck, SaysOfWhichModelsWholeStepsAreKnown) {
  const KernelCostModel both = KernelCostModel::from_json(whole_model(), "m.json");
  EXPECT_THAT(check_text(both, 0.5).text, AllOf(HasSubstr("Whole steps of A on engine 1.\n"),
                                                HasSubstr("Expert layers only of B: ")));
  EXPECT_THAT(check_json(both, 0.5)["whole_steps"].dump(), HasSubstr("A on engine 1"));
  EXPECT_EQ(check_json(both, 0.5)["expert_layers_only"], nlohmann::json{"B"});
  const KernelCostModel bare = KernelCostModel::from_json(testing::sound_model(), "m.json");
  EXPECT_THAT(check_text(bare, 0.5).text, HasSubstr("Expert layers only: "));
  EXPECT_TRUE(check_json(bare, 0.5)["whole_steps"].empty());
}

}  // namespace
}  // namespace thermoe
