// SPDX-License-Identifier: Apache-2.0
#include "cost/cost_report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cost/table_check.h"
#include "cost_model_fixture.h"

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

KernelCostModel bumpy() {
  auto json = testing::sound_model();
  json["entries"][1]["rows"][1]["latency_us"] = 24.0;  // then 21 at 64 tokens
  return KernelCostModel::from_json(json, "bumpy.json");
}

KernelCostModel sound() { return KernelCostModel::from_json(testing::sound_model(), "sound.json"); }

TEST(CostReport, ChecksAlongBothVariablesOfAnExpertLayer) {
  const auto lines = check_table(sound().tables()[0]);
  EXPECT_EQ(lines.size(), 10u);  // latency and energy: 2 batches, 3 active counts
  for (const LineCheck& line : lines) {
    EXPECT_LT(line.convexity.relative, 1e-12);
    EXPECT_TRUE(line.falls.empty());
  }
}

TEST(CostReport, ShowsTheModelsAndTheSensorsOfTheFile) {
  auto json = testing::sound_model();
  json["sensors"] = {{"delay_s", 0.2}, {"window_s", 0.05}, {"period_s", 0.02}};
  json["models"] = {{{"name", "A"}, {"layers", 3}, {"shape", {128, 8, 2048, 768}}}};
  const std::string text = show_text(KernelCostModel::from_json(json, "m.json"), false);
  EXPECT_THAT(text, HasSubstr("A: 3 layers of 128 experts of 2048 x 768, top-8"));
  EXPECT_THAT(text, HasSubstr("power 0.2 s late, mean of 0.05 s, a new reading each 0.02 s\n"));
}

TEST(CostReport, NamesTheRowsThatFall) {
  const auto lines = check_table(bumpy().tables()[1]);
  ASSERT_EQ(lines.size(), 2u);
  ASSERT_EQ(lines[0].falls.size(), 1u);
  EXPECT_EQ(lines[0].falls[0].from.x, 4.0);
  EXPECT_NEAR(lines[0].falls[0].to.y, 21.0, 1e-9);
  EXPECT_NEAR(lines[0].convexity.relative, 1.0 - (6.0 + 15.0 * 3 / 63) / 24.0, 1e-9);
}

TEST(CostReport, WarnsAboveTheThresholdOnly) {
  EXPECT_TRUE(check_text(sound(), 0.001).within == false);  // the linear table is concave
  EXPECT_TRUE(check_text(sound(), 0.5).within);
  const CheckResult result = check_text(bumpy(), 0.5);
  EXPECT_FALSE(result.within);
  EXPECT_THAT(result.text,
              AllOf(HasSubstr("warning: latency_us along tokens"), HasSubstr("tokens = 4"),
                    HasSubstr("falls: latency_us along tokens: 24 at 4, then 21 at 64")));
  EXPECT_FALSE(check_json(bumpy(), 0.5)["within_threshold"].get<bool>());
  EXPECT_TRUE(check_json(sound(), 0.5)["within_threshold"].get<bool>());
}

TEST(CostReport, SaysWhereATableBends) {
  const std::string text = check_text(sound(), 0.5).text;
  EXPECT_THAT(text,
              HasSubstr("bends: latency_us along active_experts at 16 tokens: 16 % of the row at "
                        "active_experts = 20 is there before any load (activation cost)"));
  auto json = testing::sound_model();
  auto rows = nlohmann::json::array();
  for (const auto& [tokens, latency] : std::vector<std::pair<int, double>>{
           {1, 12.0}, {4, 12.0}, {16, 12.5}, {32, 25.0}, {64, 26.0}, {128, 29.0}}) {
    rows.push_back({{"tokens", tokens}, {"latency_us", latency}, {"energy_uj", 10.0 * latency}});
  }
  json["entries"][1]["rows"] = rows;
  const KernelCostModel stepping = KernelCostModel::from_json(json, "m.json");
  EXPECT_THAT(
      check_text(stepping, 0.5).text,
      AllOf(HasSubstr("bends: latency_us along tokens: 100 % of the row at tokens = 1 is there "
                      "before any load, flat to 16 (activation cost)"),
            HasSubstr("bends: latency_us along tokens: +100 % between 16 and 32 (tile "
                      "step)")));
  const auto bends = check_json(stepping, 0.5)["tables"][1]["lines"][0]["bends"];
  ASSERT_EQ(bends.size(), 2u);
  EXPECT_EQ(bends[1]["kind"], "tile step");
  EXPECT_EQ(bends[1]["from"][0], 16.0);
  // The joules jump too, but theirs is the noise of their windows.
  const auto joules = check_json(stepping, 0.5)["tables"][1]["lines"][1]["bends"];
  for (const auto& bend : joules) EXPECT_EQ(bend["kind"], "activation cost");
}

TEST(CostReport, ShowsTheFitOfExpertLayersAndRowsOnRequest) {
  const std::string text = show_text(sound(), false);
  EXPECT_THAT(text, AllOf(HasSubstr("Test GPU"), HasSubstr("linear [1536, 2048] bf16"),
                          HasSubstr("active experts 20..100"), HasSubstr("residual rms"),
                          Not(HasSubstr("heat uK"))));
  EXPECT_THAT(show_text(sound(), true), HasSubstr("heat uK"));
}

TEST(CostReport, JsonCarriesRowsRangesAndFits) {
  const auto json = show_json(sound());
  EXPECT_EQ(json["tables"].size(), 2u);
  EXPECT_EQ(json["tables"][0]["rows"].size(), 6u);
  EXPECT_NEAR(json["tables"][0]["layer_fits"][0]["activation_latency_us"].get<double>(), 3.0, 1e-6);
  EXPECT_EQ(json["tables"][1]["tokens_range"], (nlohmann::json{1.0, 64.0}));
}

}  // namespace
}  // namespace thermoe
