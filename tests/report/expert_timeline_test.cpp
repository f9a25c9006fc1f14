// SPDX-License-Identifier: Apache-2.0
#include "report/expert_timeline.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"

namespace thermoe {
namespace {

TEST(ExpertTimeline, ValuesLieInTheSecondThatTheyEnd) {
  ExpertTimeline timeline(2);
  timeline.add(1.0, 0, std::vector<double>{1, 2});
  timeline.add(2.0, 0, std::vector<double>{10, 20});
  timeline.add(1.95, 1, std::vector<double>{3, 4});
  EXPECT_EQ(timeline.layers(), 2U);
  EXPECT_EQ(timeline.spans(), 2U);
  EXPECT_EQ(timeline.sum(0, 0, 1), 2.0);
  EXPECT_EQ(timeline.sum(0, 1, 0), 10.0);
  EXPECT_EQ(timeline.rows(0, 1), 1.0);
  EXPECT_EQ(timeline.sum(1, 1, 1), 4.0);
  EXPECT_EQ(timeline.rows(1, 0), 0.0);
}

TEST(ExpertTimeline, ALongRunFitsIntoLongerSpansAndLosesNothing) {
  ExpertTimeline timeline(1);
  for (int second = 1; second <= 1000; ++second) {
    timeline.add(second, 0, std::vector<double>{static_cast<double>(second)});
  }
  EXPECT_EQ(timeline.span_seconds(), 16.0);
  EXPECT_EQ(timeline.spans(), 63U);
  EXPECT_EQ(timeline.sum(0, 0, 0), 136.0);  // 1 + ... + 16
  timeline.shorten(10);
  EXPECT_EQ(timeline.spans(), 8U);
  double all = 0.0, rows = 0.0;
  for (std::size_t span = 0; span < timeline.spans(); ++span) {
    all += timeline.sum(0, span, 0);
    rows += timeline.rows(0, span);
  }
  EXPECT_EQ(all, 500'500.0);
  EXPECT_EQ(rows, 1000.0);
}

class ExpertTimelineFile : public testing::Test {
 protected:
  ~ExpertTimelineFile() override { std::filesystem::remove(path_); }
  std::vector<StrategyTimeline> read(const std::string& content, const std::string& unit) const {
    std::ofstream(path_) << content;
    return read_expert_timelines(path_, unit);
  }
  std::string path_ =
      (std::filesystem::temp_directory_path() / fmt::format("expert_timeline.{}.csv", ::getpid()))
          .string();
};

TEST_F(ExpertTimelineFile, StrategiesAreKeptApartAndATornLineIsDropped) {
  const auto all = read(
      "strategy,time_s,layer,expert_0_tokens,expert_1_tokens\n"
      "A,1,0,3,4\nA,1,1,5,6\nB,1,0,7,8\nA,2,0,1,1\nB,1,1,9",
      "tokens");
  ASSERT_EQ(all.size(), 2U);
  for (const auto& [strategy, timeline] : all) {
    EXPECT_EQ(timeline.experts(), 2U);
    EXPECT_EQ(timeline.layers(), strategy == "A" ? 2U : 1U);
    EXPECT_EQ(timeline.sum(0, 0, 1), strategy == "A" ? 4.0 : 8.0);
  }
}

TEST_F(ExpertTimelineFile, MoreThanAReportCanHoldIsRefusedAndNamed) {
  std::string head = "strategy,time_s,layer";
  std::string cells;
  for (int e = 0; e < 128; ++e) {
    head += fmt::format(",expert_{}_tokens", e);
    cells += ",1";
  }
  const auto row = [&](const std::string& strategy, int layer) {
    return fmt::format("{},1,{}{}\n", strategy, layer, cells);
  };
  EXPECT_EQ(read(head + "\n" + row("A", 2047), "tokens")[0].timeline.layers(), 2048U);
  const auto message = [&](const std::string& rows) -> std::string {
    try {
      read(head + "\n" + rows, "tokens");
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  };
  EXPECT_THAT(message(row("A", 0) + row("A", 4000)),
              testing::HasSubstr("line 3, column layer: layer 4000 of 128 experts"));
  std::string strategies;
  for (int s = 0; s < 10; ++s) strategies += row(fmt::format("S{}", s), 255);
  EXPECT_THAT(message(strategies), testing::HasSubstr("in 9 strategies"));
}

TEST_F(ExpertTimelineFile, BadLayersAndMissingColumnsAreNamed) {
  const std::string head = "strategy,time_s,layer,expert_0_bias\n";
  EXPECT_THROW(read(head, "tokens"), FormatError);
  for (const char* row : {"A,1,-1,0\n", "A,1,99999,0\n", "A,,0,0\n", "A,1,x,0\n", "A,1,0,x\n"}) {
    EXPECT_THROW(read(head + row, "bias"), FormatError) << row;
  }
}

}  // namespace
}  // namespace thermoe
