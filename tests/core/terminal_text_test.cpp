// SPDX-License-Identifier: Apache-2.0
#include "core/terminal_text.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

TEST(TerminalText, LinesStayLinesAndLoseWhatHarms) {
  EXPECT_EQ(printable_lines("a\x1b[2J\nb\xff\n"), "a[2J\nb\xEF\xBF\xBD\n");
  EXPECT_EQ(printable_lines("no end"), "no end");
  EXPECT_EQ(printable_lines("\n\n"), "\n\n");
  EXPECT_EQ(printable_lines(""), "");
}

TEST(TerminalText, WidthCountsColumnsNotBytes) {
  EXPECT_EQ(display_width("H100"), 4);
  EXPECT_EQ(display_width("55 °C – λ"), 9);
  EXPECT_EQ(display_width("日本"), 4);
  EXPECT_EQ(display_width("e\u0301"), 1);  // e and a combining accent
  EXPECT_EQ(display_width("🔥"), 2);
}

TEST(TerminalText, WhatWouldBreakALineIsTakenOut) {
  EXPECT_EQ(printable("a\x1b[31mb\nc\td", true), "a[31mb c d");
  EXPECT_EQ(printable("\u202Eevil", true), "evil");  // right-to-left override
  EXPECT_EQ(printable("x\xFFy", true), "x\uFFFDy");
  EXPECT_EQ(printable("\xC3", true), "\uFFFD");            // cut in the middle
  EXPECT_EQ(printable("\xC0\xAF", true), "\uFFFD\uFFFD");  // overlong slash
}

TEST(TerminalText, AsciiTerminalsGetAscii) {
  EXPECT_EQ(printable("55 °C – λ 日", false), "55 C - lambda ?");
}

TEST(TerminalText, TooLongTextEndsInAnEllipsis) {
  EXPECT_EQ(fit("NVIDIA H100", 11, true), "NVIDIA H100");
  EXPECT_EQ(fit("NVIDIA H100", 8, true), "NVIDIA …");
  EXPECT_EQ(fit("NVIDIA H100", 8, false), "NVIDIA ~");
  EXPECT_EQ(fit("日本日本", 6, true), "日本…");  // half a character is none
  EXPECT_EQ(fit("abc", 0, true), "");
}

TEST(TerminalText, PaddingCountsColumnsToo) { EXPECT_EQ(padded("日", 4), "日  "); }

}  // namespace
}  // namespace thermoe
