// SPDX-License-Identifier: Apache-2.0
#include "monitor/gauges.h"

#include <gtest/gtest.h>

#include <cmath>

#include "core/terminal_text.h"

namespace thermoe {
namespace {

std::string sparkline(const Series& series, Seconds now, int width, double least_span,
                      bool unicode) {
  return sparklines(series, now, width, 1, least_span, unicode).at(0);
}

TEST(Gauges, ABarIsFilledByItsShareAndNeverBeyond) {
  EXPECT_EQ(bar(0.5, 10, true), "█████░░░░░");
  EXPECT_EQ(bar(0.5, 10, false), "[####----]");
  EXPECT_EQ(bar(7.0, 4, true), "████");
  EXPECT_EQ(bar(-1.0, 4, true), "░░░░");
  EXPECT_EQ(bar(std::nan(""), 4, true), "░░░░");
}

TEST(Gauges, ASparklineRunsFromLowToHighAndEndsNow) {
  Series series;
  for (int s = 1; s <= 60; ++s) series.add(Seconds(s - 0.5), s);
  EXPECT_EQ(sparkline(series, Seconds(59.9), 8, 0.0, true), "▁▂▃▄▅▆▇█");
  EXPECT_EQ(sparkline(series, Seconds(59.9), 8, 0.0, false), "_.-:=+*#");
}

TEST(Gauges, ATallSparklineStacksItsBlocks) {
  Series series;
  for (int s = 1; s <= 60; ++s)
    series.add(Seconds(s - 0.5), s <= 30 ? 0.0 : s <= 45 ? 50.0 : 100.0);
  const auto lines = sparklines(series, Seconds(59.9), 4, 2, 0.0, true);
  EXPECT_EQ(lines, (std::vector<std::string>{"  ▁█", "▁▁██"}));
}

TEST(Gauges, AShortPeakShows) {
  Series series;
  for (int i = 0; i < 600; ++i) series.add(Seconds(0.1 * i), i == 300 ? 500.0 : 100.0);
  EXPECT_NE(sparkline(series, Seconds(59.9), 10, 0.0, true).find("█"), std::string::npos);
}

TEST(Gauges, TimeInWhichNothingWasReadIsBlank) {
  Series series;
  for (int s = 0; s < 20; ++s) series.add(Seconds(s), 100.0);
  for (int s = 40; s < 60; ++s) series.add(Seconds(s), 200.0);
  EXPECT_EQ(sparkline(series, Seconds(59.9), 6, 0.0, true), "▁▁  ██");
}

TEST(Gauges, NoiseBelowTheLeastSpanStaysFlat) {
  Series series;
  for (int s = 0; s < 60; ++s) series.add(Seconds(s), 100.0 + 0.1 * (s % 2));
  EXPECT_EQ(sparkline(series, Seconds(59.9), 6, 20.0, true), "▁▁▁▁▁▁");
}

TEST(Gauges, EveryWidthIsFilledExactly) {
  Series series;
  for (int s = 0; s < 60; ++s) series.add(Seconds(s), s);
  for (int width = 1; width < 200; ++width) {
    EXPECT_EQ(display_width(sparkline(series, Seconds(59.0), width, 1.0, true)), width);
    EXPECT_EQ(display_width(bar(0.3, width, true)), width);
  }
  EXPECT_EQ(sparkline(Series(), Seconds(0), 3, 1.0, true), "   ");
}

TEST(Series, AMinuteIsKeptAndTimeThatTurnsBackStartsAnew) {
  Series series;
  for (int s = 0; s <= 100; ++s) series.add(Seconds(s), s);
  EXPECT_EQ(series.samples().front().at, Seconds(40));
  series.add(Seconds(3), 1.0);
  EXPECT_EQ(series.samples().size(), 1U);
}

}  // namespace
}  // namespace thermoe
