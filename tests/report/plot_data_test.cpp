// SPDX-License-Identifier: Apache-2.0
#include "report/plot_data.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <limits>

#include "report/html_report.h"
#include "report/metrics_logger.h"

namespace thermoe {
namespace {

using testing::Contains;
using testing::DoubleNear;

constexpr double kGap = std::numeric_limits<double>::quiet_NaN();

StrategyTicks ticks_of(std::size_t count) {
  StrategyTicks ticks{.name = "A"};
  for (auto& column : ticks.columns) column.assign(count, kGap);
  for (std::size_t i = 0; i < count; ++i) {
    ticks.column(Metric::kTime)[i] = 0.1 * static_cast<double>(i + 1);
    ticks.column(Metric::kPower1s)[i] = 300 + static_cast<double>(i % 7);
  }
  return ticks;
}

TEST(PlotData, AShortLineIsDrawnWholeOnSharedTimes) {
  StrategyTicks ticks = ticks_of(5);
  ticks.column(Metric::kPower1s)[2] = kGap;
  const nlohmann::json lines = lines_json(ticks, 100);
  EXPECT_EQ(lines["time"].dump(), "[0.1,0.2,0.3,0.4,0.5]");
  EXPECT_EQ(lines["power"]["y"].dump(), "[300,301,null,303,304]") << "a gap stays one";
  EXPECT_FALSE(lines["power"].contains("x"));
  EXPECT_EQ(lines["power"]["mean"], 302);
  EXPECT_EQ(lines["power"]["most"], 304);
  EXPECT_FALSE(lines.contains("temperature")) << "no value, no line";
}

TEST(PlotData, KeyFiguresOfAThinnedLineAreThoseOfAllTicks) {
  StrategyTicks ticks = ticks_of(70'000);
  const nlohmann::json power = lines_json(ticks, 200)["power"];
  EXPECT_LE(power["y"].size(), 200U);
  EXPECT_EQ(power["y"].size(), power["x"].size());
  EXPECT_EQ(power["mean"], 303);
  EXPECT_EQ(power["last"], 300 + 69'999 % 7);
}

TEST(PlotData, LinesShareAFixedNumberOfPoints) {
  RunData run;
  run.ticks.emplace();
  run.ticks->strategies = {ticks_of(10'000), ticks_of(10'000)};
  EXPECT_EQ(points_a_line({run}, 40'000), 10'000U) << "2 x (times + power) fit";
  EXPECT_EQ(points_a_line({run}, 39'999), 9'999U) << "thinned, each point has its own time";
  EXPECT_EQ(points_a_line({run, run}, 8'000), 1'000U);
}

TEST(PlotData, TheDistributionIsWeightedByStepsAndEndsAtAllOfThem) {
  StrategyTicks ticks = ticks_of(3);
  ticks.column(Metric::kStepTime) = {0.012, 0.008, kGap};
  ticks.column(Metric::kSteps) = {1, 3, 5};
  const nlohmann::json steps = step_distribution_json(ticks);
  EXPECT_EQ(steps["x"].dump(), "[8,12]");
  EXPECT_EQ(steps["y"].dump(), "[75,100]");
}

TEST(PlotData, LoadIsRelativeToAnEvenShareAndBiasAMeanOverTime) {
  ExpertTimeline timeline(4);
  timeline.add(1, 0, std::vector<double>{4, 0, 2, 2});
  timeline.add(2, 0, std::vector<double>{0, 0, 0, 0});
  const nlohmann::json load = map_json(timeline, MapOf::kLoad, 1000);
  EXPECT_EQ(load["layers"][0]["whole"].dump(), "[200,0,100,100]");
  EXPECT_EQ(load["scale"], 0.01);
  EXPECT_EQ(load["layers"][0]["spans"][1].dump(), "[0,0,0,0]") << "no token, no load";
  const nlohmann::json bias = map_json(timeline, MapOf::kBias, 1000);
  const double scale = bias["scale"];
  EXPECT_NEAR(bias["layers"][0]["whole"][0].get<double>() * scale, 2.0, 0.01);
  EXPECT_EQ(map_json(timeline, MapOf::kLoad, 4)["spans"], 1) << "as few spans as cells allow";
}

// Issue: a CSV of a million rows is drawn without losing its peaks.
class MillionRows : public testing::Test {
 protected:
  ~MillionRows() override { std::filesystem::remove_all(folder_); }

  // Only the time and two figures are there; a run leaves cells empty, too.
  void write(int rows, int peak_row) const {
    std::filesystem::create_directories(folder_);
    std::ofstream out(folder_ + "/metrics.csv");
    const std::vector<std::string> columns = metrics_header(1);
    for (std::size_t c = 0; c < columns.size(); ++c) out << (c > 0 ? "," : "") << columns[c];
    const std::string after(columns.size() - 6, ',');
    for (int i = 0; i < rows; ++i) {
      const char* power = i == peak_row ? "612.5" : i % 2 == 0 ? "348" : "349";
      out << (i == 0 ? "\n" : "") << (i < rows / 2 ? "A," : "B,") << (i % (rows / 2) + 1) << ",1,"
          << power << ',' << power << ",50" << after << '\n';
    }
  }

  std::string folder_ =
      (std::filesystem::temp_directory_path() / fmt::format("million.{}", ::getpid())).string();
};

TEST_F(MillionRows, KeepAPeakOfOneRowInASmallPage) {
  write(1'000'000, 654'321);
  const RunData run = read_run(folder_);
  ASSERT_EQ(run.ticks->strategies.size(), 2U);
  EXPECT_EQ(run.ticks->strategies[1].count(), 500'000U);
  const nlohmann::json lines = lines_json(run.ticks->strategies[1], points_a_line({run}));
  EXPECT_THAT(lines["power"]["y"].get<std::vector<double>>(), Contains(DoubleNear(612.5, 0.01)));
  const auto& x = lines["power"]["x"];
  const auto& y = lines["power"]["y"];
  for (std::size_t i = 0; i < y.size(); ++i) {
    if (y[i] == 612.5) {
      EXPECT_EQ(x[i], 154'322) << "at its own time";
    }
  }
  EXPECT_LT(html_report({run}, "test").size(), std::size_t{6} << 20);
}

}  // namespace
}  // namespace thermoe
