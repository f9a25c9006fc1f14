// SPDX-License-Identifier: Apache-2.0
#include "core/csv_cells.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermoe {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::vector<std::string> cells_of(const std::string& line) {
  CsvCells cells;
  EXPECT_EQ(cells.split(line), "");
  return {cells.begin(), cells.end()};
}

TEST(CsvCells, CommasSeparateAndQuotesProtect) {
  EXPECT_THAT(cells_of("a,,c"), ElementsAre("a", "", "c"));
  EXPECT_THAT(cells_of(R"("a,b","say ""hi""",c)"), ElementsAre("a,b", "say \"hi\"", "c"));
  EXPECT_THAT(cells_of(""), ElementsAre(""));
  EXPECT_THAT(cells_of("5\" disk"), ElementsAre("5\" disk"));  // not at a cell's start
}

TEST(CsvCells, BlanksAroundACellDoNotCountAndThoseInQuotesDo) {
  EXPECT_THAT(cells_of(" a , \t,\" b \" ,c d\r"), ElementsAre("a", "", " b ", "c d"));
}

TEST(CsvCells, BadQuotesAreNamed) {
  CsvCells cells;
  EXPECT_THAT(cells.split("a,\"b"), HasSubstr("not closed"));
  EXPECT_THAT(cells.split("\"a\"b,c"), HasSubstr("goes on after its closing quote"));
}

TEST(CsvCells, WhatIsWrittenReadsBack) {
  for (const char* text : {"plain", "with, comma", "with \"quotes\"", "", "ümläut", "two\nlines",
                           " blanks around\t", "\r", "\""}) {
    EXPECT_THAT(cells_of("x," + csv_cell(text)), ElementsAre("x", text));
  }
}

}  // namespace
}  // namespace thermoe
