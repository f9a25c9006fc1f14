// SPDX-License-Identifier: Apache-2.0
#include "telemetry/csv_cells.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermoe {
namespace {

using ::testing::ElementsAre;

TEST(CsvCells, CommasSeparateAndQuotesProtect) {
  EXPECT_THAT(*split_csv_line("a,,c"), ElementsAre("a", "", "c"));
  EXPECT_THAT(*split_csv_line(R"("a,b","say ""hi""",c)"), ElementsAre("a,b", "say \"hi\"", "c"));
  EXPECT_THAT(*split_csv_line(""), ElementsAre(""));
  EXPECT_THAT(*split_csv_line("5\" disk"), ElementsAre("5\" disk"));  // not at a cell's start
}

TEST(CsvCells, AnOpenQuoteIsNoLine) { EXPECT_FALSE(split_csv_line("a,\"b")); }

TEST(CsvCells, WhatIsWrittenReadsBack) {
  for (const char* text : {"plain", "with, comma", "with \"quotes\"", "", "ümläut"}) {
    EXPECT_THAT(*split_csv_line("x," + csv_cell(text)), ElementsAre("x", text));
  }
  EXPECT_EQ(csv_cell("two\nlines"), "two lines");
}

}  // namespace
}  // namespace thermoe
