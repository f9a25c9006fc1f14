// SPDX-License-Identifier: Apache-2.0
#include "core/csv_reader.h"

#include <gmock/gmock.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "core/errors.h"

namespace thermoe {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

class CsvReaderFile : public testing::Test {
 protected:
  ~CsvReaderFile() override { std::filesystem::remove(path_); }

  CsvReader reader(const std::string& content) const {
    std::ofstream(path_, std::ios::binary) << content;
    return CsvReader(path_);
  }
  std::string error_of(const std::string& content) const {
    try {
      CsvReader csv = reader(content);
      while (csv.next()) {
        for (std::size_t c = 0; c < csv.columns().size(); ++c) csv.number(c);
      }
    } catch (const FormatError& error) {
      return error.what();
    }
    return "";
  }

  std::string path_ =
      (std::filesystem::temp_directory_path() / fmt::format("csv_reader.{}.csv", ::getpid()))
          .string();
};

TEST_F(CsvReaderFile, CellsAreTextNumbersAndAbsences) {
  CsvReader csv = reader("name,power_w,loss\nA,-3.5e2,\nB,007,nan\n");
  EXPECT_THAT(csv.columns(), ElementsAre("name", "power_w", "loss"));
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.cell(0), "A");
  EXPECT_EQ(csv.number(1), -350.0);
  EXPECT_EQ(csv.number(2), std::nullopt);
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.line(), 3);
  EXPECT_EQ(csv.number(1), 7.0);
  EXPECT_EQ(csv.number(2), std::nullopt) << "a diverged figure is a gap, not an error";
  EXPECT_FALSE(csv.next());
  EXPECT_FALSE(csv.torn());
}

TEST_F(CsvReaderFile, ATornLastLineIsDroppedAndSaid) {
  CsvReader csv = reader("a,b\n1,2\n3,");
  EXPECT_TRUE(csv.next());
  EXPECT_FALSE(csv.next());
  EXPECT_TRUE(csv.torn());
}

TEST_F(CsvReaderFile, ALineTornWithinAQuotedCellIsDroppedToo) {
  CsvReader csv = reader("a,b\n1,\"no\n3,4\n5,6\n");
  EXPECT_FALSE(csv.next());
  EXPECT_TRUE(csv.torn());
}

TEST_F(CsvReaderFile, QuotedCellsHoldCommasQuotesAndLineBreaks) {
  CsvReader csv = reader("a,b\n\"x, \"\"y\"\"\nz\",2\n3,\"\"\n");
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.cell(0), "x, \"y\"\nz");
  EXPECT_EQ(csv.number(1), 2.0);
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.line(), 4) << "the line break within quotes counts as a line of the file";
  EXPECT_EQ(csv.cell(1), "");
}

TEST_F(CsvReaderFile, WindowsLineEndingsAreRead) {
  CsvReader csv = reader("a,b\r\n1,2\r\n");
  EXPECT_THAT(csv.columns(), ElementsAre("a", "b"));
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.number(1), 2.0);
}

TEST_F(CsvReaderFile, LinesLongerThanABlockAreRead) {
  const std::string longest(3 << 20, 'x');
  CsvReader csv = reader("a,b\n" + longest + ",1\n2,3\n");
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.cell(0).size(), longest.size());
  EXPECT_EQ(csv.number(1), 1.0);
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.number(0), 2.0);
}

TEST_F(CsvReaderFile, WhatIsNoNumberIsNamedByFileLineAndColumn) {
  const std::string error = error_of("time_s,power_w\n1,350\n2,35o\n");
  EXPECT_THAT(error, HasSubstr(path_));
  EXPECT_THAT(error, HasSubstr("line 3, column power_w"));
  EXPECT_THAT(error, HasSubstr("\"35o\" is not a number"));
  EXPECT_THAT(error_of("a\n1 x\n"), HasSubstr("is not a number")) << "trailing characters count";
}

TEST_F(CsvReaderFile, RowsOfAnotherLengthAreNamedByLine) {
  EXPECT_THAT(error_of("a,b\n1,2\n1,2,3\n"), HasSubstr("line 3: has 3 cells, and the header 2"));
  EXPECT_THAT(error_of("a,b\n1\n"), HasSubstr("line 2: has 1 cells"));
  EXPECT_THAT(error_of("a,b\n\"1\"2,3\n"), HasSubstr("line 2: a quoted cell goes on"));
}

TEST_F(CsvReaderFile, ADecimalCommaIsNamed) {
  EXPECT_THAT(error_of("gpu, power.draw [W]\n0, 100,5 W\n"),
              AllOf(HasSubstr("line 2: has 3 cells, and the header 2"),
                    HasSubstr("a decimal comma, as in 100,5?")));
  EXPECT_THAT(error_of("a,b\n1,2,3\n"), HasSubstr("remove the line"));
  EXPECT_THAT(error_of("a, b\n1\n"), HasSubstr("remove the line"));
}

TEST_F(CsvReaderFile, AByteOrderMarkBlankLinesCommentsAndBlanksDoNotCount) {
  CsvReader csv = reader("\xEF\xBB\xBF# made by hand\n\na , b\n\n 1,2 \n   \n");
  EXPECT_THAT(csv.columns(), ElementsAre("a", "b"));
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.number(1), 2.0);
  EXPECT_EQ(csv.line(), 5);
  EXPECT_FALSE(csv.next());
  EXPECT_FALSE(csv.torn());
}

TEST_F(CsvReaderFile, OtherFormatsAreNamedWithTheRemedy) {
  EXPECT_THAT(error_of("a;b\n1,5;2\n"), HasSubstr("tr ',;' '.,'"));
  EXPECT_THAT(error_of("a\tb\n"), HasSubstr("separated by tabs"));
  EXPECT_THAT(error_of("\xFF\xFE\na"), HasSubstr("UTF-16"));
  EXPECT_THAT(error_of(std::string("\x7F"
                                   "ELF;\0\n\0,;\n",
                                   12)),
              HasSubstr("no text file"));
}

TEST_F(CsvReaderFile, ALastLineWithoutItsBreakMayBeWholeWhereThatIsAllowed) {
  { std::ofstream(path_) << "a,b\n1,2\n3,4"; }
  CsvReader csv(path_, CsvReader::LastLine::kMayBeWhole);
  EXPECT_TRUE(csv.next());
  ASSERT_TRUE(csv.next());
  EXPECT_EQ(csv.number(1), 4.0);
  EXPECT_FALSE(csv.next());
  EXPECT_FALSE(csv.torn());
}

TEST_F(CsvReaderFile, ARowThatIsBadCanBePassedOver) {
  CsvReader csv = reader("a,b\n1\n3,4\na,b\n");
  ASSERT_TRUE(csv.next_row());
  EXPECT_THAT(csv.row_problem(), HasSubstr("1 cells"));
  ASSERT_TRUE(csv.next_row());
  EXPECT_EQ(csv.row_problem(), "");
  EXPECT_FALSE(csv.repeats_header());
  ASSERT_TRUE(csv.next_row());
  EXPECT_TRUE(csv.repeats_header());
}

TEST(CsvReader, ANearMissIsASlipOfCasePunctuationUnitOrLetters) {
  EXPECT_TRUE(is_near_miss("Temp GPU C", "temp_gpu_c"));
  EXPECT_TRUE(is_near_miss("power", "power_w"));
  EXPECT_TRUE(is_near_miss("temp_gup_c", "temp_gpu_c"));
  EXPECT_FALSE(is_near_miss("phase", "power_w"));
  EXPECT_FALSE(is_near_miss("note", "name"));
}

TEST_F(CsvReaderFile, AMissingFileHeaderOrColumnIsNamed) {
  EXPECT_THROW(CsvReader("no/such/file.csv"), FormatError);
  EXPECT_THAT(error_of(""), HasSubstr("no header"));
  EXPECT_THAT(error_of("a,b"), HasSubstr("no header")) << "a torn header is none";
  const CsvReader csv = reader("a,b\n");
  EXPECT_EQ(csv.need("b"), 1U);
  EXPECT_EQ(csv.find("c"), std::nullopt);
  EXPECT_THROW(csv.need("c"), FormatError);
  EXPECT_THAT(error_of("time,power\n"), "");
  try {
    reader("Power W\n").need("power_w");
    FAIL() << "no error";
  } catch (const FormatError& error) {
    EXPECT_THAT(error.what(), HasSubstr("is 'Power W' meant"));
  }
}

}  // namespace
}  // namespace thermoe
