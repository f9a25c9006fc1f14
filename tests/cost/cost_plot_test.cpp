// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_plot.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

KernelCostModel model() { return KernelCostModel::from_json(testing::sound_model(), "a/m.json"); }

TEST(CostPlot, ExpertLayersAreDrawnAlongActiveExpertsWithTheFitOfPrices) {
  const nlohmann::json json = plot_json(model(), 0.1);
  const nlohmann::json& charts = json["tables"][0]["charts"];
  ASSERT_EQ(charts.size(), 2u);
  EXPECT_EQ(charts[0]["quantity"], "latency_us");
  EXPECT_EQ(charts[0]["along"], "active_experts");
  ASSERT_EQ(charts[0]["lines"].size(), 2u);
  const nlohmann::json& line = charts[0]["lines"][0];
  EXPECT_EQ(line["at"], 16.0);
  EXPECT_EQ(line["x"], (nlohmann::json{20.0, 40.0, 100.0}));
  // The fixture is exactly what is fitted, and straight.
  for (std::size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(line["fit"][i].get<double>(), line["y"][i].get<double>(), 1e-6);
    EXPECT_NEAR(line["off_fit"][i].get<double>(), 0.0, 1e-6);
    EXPECT_NEAR(line["above_envelope"][i].get<double>(), 0.0, 1e-6);
  }
}

TEST(CostPlot, OtherOpsAreDrawnAlongTokensWithWhatIsAboveTheEnvelope) {
  const nlohmann::json json = plot_json(model(), 0.1);
  const nlohmann::json& line = json["tables"][1]["charts"][0]["lines"][0];
  EXPECT_TRUE(line["at"].is_null());
  EXPECT_FALSE(line.contains("fit"));
  EXPECT_EQ(line["envelope"]["x"], (nlohmann::json{1.0, 64.0}));
  // 9 us at 4 tokens, where the chord from 6 at 1 to 21 at 64 has 6.71.
  EXPECT_NEAR(line["above_envelope"][1].get<double>(), 100.0 * (1.0 - (6.0 + 45.0 / 63.0) / 9.0),
              1e-6);
  EXPECT_NEAR(line["distance"].get<double>(), line["above_envelope"][1].get<double>(), 1e-9);
  EXPECT_NEAR(json["tables"][1]["worst_latency"].get<double>(), line["distance"].get<double>(),
              1e-9);
}

TEST(CostPlot, TheVerdictNamesExpertLayersFirstAndThenTheWorstTable) {
  EXPECT_THAT(plot_json(model(), 0.1)["verdict"].get<std::string>(),
              AllOf(HasSubstr("Expert layers, which prices come from, are at most 0.0 %"),
                    HasSubstr("Of 2 tables 1 is further from convex than 10 %, most of all linear "
                              "[1536, 2048] bf16 (25 %)")));
  EXPECT_THAT(plot_json(model(), 0.5)["verdict"].get<std::string>(),
              HasSubstr("All tables are within 50 %."));
}

TEST(CostPlot, ATableOfOneRowWithoutJoulesHasNothingToDraw) {
  nlohmann::json json = testing::sound_model();
  json["entries"][1]["rows"] = {{{"tokens", 1}, {"latency_us", 6.0}}};
  const nlohmann::json plotted = plot_json(KernelCostModel::from_json(json, "m.json"), 0.1);
  EXPECT_TRUE(plotted["tables"][1]["charts"].empty());
  EXPECT_TRUE(plotted["tables"][1]["worst_latency"].is_null());
  EXPECT_EQ(plotted["title"], "m.json, Test GPU");
}

}  // namespace
}  // namespace thermoe
