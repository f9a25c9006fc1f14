// SPDX-License-Identifier: Apache-2.0
#include "profile/ncu_csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "core/errors.h"
#include "profile/ncu_number.h"
#include "profile/ncu_ranges.h"
#include "scratch_file.h"

namespace thermoe {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

const std::string kDetailsHeader =
    "\"ID\",\"Process ID\",\"Process Name\",\"Host Name\",\"Kernel Name\",\"Context\",\"Stream\","
    "\"Block Size\",\"Grid Size\",\"Device\",\"CC\",\"Section Name\",\"Metric Name\",\"Metric "
    "Unit\","
    "\"Metric Value\",\"Rule Name\",\"Rule Type\",\"Rule Description\"\n";

/// A line of the details page: 15 cells, and the comma that ncu ends them with.
std::string details(int id, const std::string& metric, const std::string& unit,
                    const std::string& value, const std::string& kernel = "k<int, 2>(float *)") {
  return fmt::format(
      "\"{}\",\"527\",\"t\",\"127.0.0.1\",\"{}\",\"1\",\"7\",\"(256, 1, 1)\",\"(1024, 2, "
      "1)\",\"0\","
      "\"9.0\",\"Section\",\"{}\",\"{}\",\"{}\",\n",
      id, kernel, metric, unit, value);
}

class NcuCsv : public ::testing::Test {
 protected:
  ParsedProfile parse(const std::string& text, const ParseOptions& options = {}) const {
    return parse_ncu_csv(folder_.write("out.csv", text), options);
  }
  std::string refusal(const std::string& text) const {
    try {
      parse(text);
    } catch (const FormatError& error) {
      return error.what();
    }
    return "taken";
  }

  ScratchFolder folder_{};
};

TEST_F(NcuCsv, TheDetailsPageIsReadByMetricAmongWhatThePrograms) {
  const ParsedProfile profile = parse(
      "==PROF== Connected to process 527 (./probe)\nhello, world\n" + kDetailsHeader +
      details(0, "Duration", "ns", "2,400") +
      details(0, "Registers Per Thread", "register/thread", "16") +
      details(0, "Memory Throughput", "%", "14.37") +
      details(0, "Memory Throughput", "byte/s", "1,234,567.5") + "a line of the program\n" +
      details(1, "Duration", "us", "2.6") +
      details(1, "Registers Per Thread", "register/thread", "16") +
      "\"1\",\"527\",\"t\",\"h\",\"k<int, 2>(float *)\",\"1\",\"7\",\"(256, 1, 1)\",\"(1024, 2, "
      "1)\",\"0\",\"9.0\",\"Rules\",\"\",\"\",\"\",\"SOL\",\"OPT\",\"Long,\ntext\"\n");
  ASSERT_EQ(profile.kernels.size(), 1U);
  const KernelRecord& kernel = profile.kernels.front();
  EXPECT_EQ(kernel.name, "k<int, 2>(float *)");
  EXPECT_EQ(kernel.count, 2);
  EXPECT_EQ(kernel.total_ns, 5000);
  EXPECT_EQ(kernel.min_ns, 2400);
  EXPECT_EQ(kernel.max_ns, 2600);
  EXPECT_EQ(kernel.grid, (Extent{1024, 2, 1}));
  EXPECT_EQ(kernel.block, (Extent{256, 1, 1}));
  EXPECT_EQ(kernel.registers, 16);
  EXPECT_EQ(kernel.energy, std::nullopt);
}

const std::string kRawHeader =
    "\"ID\",\"Process ID\",\"Kernel Name\",\"Block Size\",\"Grid Size\","
    "\"thread Domain:Push/Pop_Range:PL_Type:PL_Value:CLR_Type:Color:Msg_Type:Msg\","
    "\"gpu__time_duration.sum\",\"launch__registers_per_thread\"\n"
    "\"\",\"\",\"\",\"\",\"\",\"\",\"ns\",\"register/thread\"\n";

TEST_F(NcuCsv, TheRawPageIsReadByColumnWithTheRangesAround) {
  const std::string ranges =
      "1  \"\"thermoe:layer:none:none:none:none:none:none\"\"  "
      "\"\"thermoe:fc1 [8, 16] bf16:none:none:none:none:none:none\"\"  "
      "\"\"<default domain>:of the user:none:none:none:none:none:none\"\"";
  const ParsedProfile profile = parse(
      kRawHeader + "\"0\",\"7\",\"k\",\"(256, 1, 1)\",\"(4, 1, 1)\",\"" + ranges +
      "\",\"2,368\",\"16\"\n\"1\",\"7\",\"k\",\"(256, 1, 1)\",\"(4, 1, 1)\",\"\",\"n/a\",\"16\"\n");
  ASSERT_EQ(profile.kernels.size(), 2U);
  EXPECT_EQ(profile.kernels[0].op, "fc1 [8, 16] bf16");
  EXPECT_EQ(profile.kernels[0].total_ns, 2368);
  EXPECT_EQ(profile.kernels[1].op, std::nullopt);
  EXPECT_EQ(profile.kernels[1].total_ns, std::nullopt);
  EXPECT_THAT(profile.missing, Contains("gpu__time_duration.sum: of 1 of 2 launches"));
  ASSERT_EQ(profile.ranges.size(), 1U);
  EXPECT_EQ(profile.ranges[0].domain, "thermoe");
  EXPECT_EQ(profile.ranges[0].kernels, 1);
}

TEST_F(NcuCsv, ARecordWithAnUntimedLaunchHasNoTimes) {
  const ParsedProfile profile =
      parse(kDetailsHeader + details(0, "Duration", "ns", "5") +
            details(1, "Duration", "ns", "n/a") + details(2, "Duration", "ns", "7"));
  EXPECT_EQ(profile.kernels.front().count, 3);
  EXPECT_EQ(profile.kernels.front().total_ns, std::nullopt);
  EXPECT_EQ(profile.kernels.front().min_ns, std::nullopt);
}

TEST_F(NcuCsv, NumbersOfAnotherLocaleAreRefusedNotMisread) {
  for (const std::string value : {"1.234,56", "2.613.333.333,33", "14,37", "1 234,5", "1'234.5",
                                  "1\xE2\x80\xAF"
                                  "234,5"}) {
    const std::string what = refusal(kDetailsHeader + details(0, "Elapsed Cycles", "cycle", value));
    EXPECT_THAT(what, HasSubstr("line 2, Metric Value"));
    EXPECT_THAT(what, HasSubstr("another locale"));
    EXPECT_THAT(what, HasSubstr("LC_ALL=C"));
  }
}

TEST_F(NcuCsv, WhatIsCutOffIsRefusedByLine) {
  const std::string text = kDetailsHeader + details(0, "Duration", "ns", "2,400");
  EXPECT_THAT(refusal(text.substr(0, text.size() - 40)), HasSubstr("line 2"));
  EXPECT_THAT(refusal(kRawHeader + "\"0\",\"7\",\"k\"\n"),
              HasSubstr("line 3: has 3 cells, and the column names 8"));
  EXPECT_THAT(refusal(kRawHeader + "\"0\",\"7\",\"k"), HasSubstr("a quote is not closed"));
}

TEST_F(NcuCsv, AnotherTextIsNoCsvOfNcu) {
  EXPECT_THAT(refusal("t_s,power_w\n1,2\n"), HasSubstr("no line that starts with \"ID\""));
  EXPECT_THAT(refusal("==ERROR== ERR_NVGPUCTRPERM\n"), HasSubstr("this is no CSV of ncu"));
}

TEST_F(NcuCsv, TwoOutputsInOneFileAreSaid) {
  EXPECT_THAT(refusal(kDetailsHeader + details(0, "Duration", "ns", "2") + kDetailsHeader),
              HasSubstr("two outputs"));
}

TEST_F(NcuCsv, AnIdThatIsNoNumberIsNamed) {
  EXPECT_THAT(refusal(kRawHeader + "\"x\",\"7\",\"k\",\"\",\"\",\"\",\"1\",\"1\"\n"),
              HasSubstr("line 3, ID: \"x\" is no whole number"));
}

TEST_F(NcuCsv, AByteOrderMarkAndNoKernelsAreFine) {
  const ParsedProfile profile = parse("\xEF\xBB\xBF" + kRawHeader);
  EXPECT_THAT(profile.kernels, IsEmpty());
  EXPECT_THAT(profile.missing, Contains("kernels: none was profiled"));
}

TEST_F(NcuCsv, BytesThatFlippedAreRefusedOrReadButNeverCrash) {
  const std::string sound =
      kRawHeader +
      "\"0\",\"7\",\"k\",\"(256, 1, 1)\",\"(4, 1, 1)\",\"1  "
      "\"\"thermoe:fc1:none:none:none:none:none:none\"\"\",\"2,368\",\"16\"\n";
  std::mt19937 random(12);
  int refused = 0;
  for (int i = 0; i < 500; ++i) {
    std::string text = sound;
    for (int flips = 0; flips < 3; ++flips) {
      text[random() % text.size()] = "\",()0a:\n-"[random() % 9];
    }
    refused += refusal(text) == "taken" ? 0 : 1;
  }
  EXPECT_GT(refused, 20);
}

TEST(NcuNumber, IsReadWithSeparatorsAndUnits) {
  EXPECT_EQ(ncu_number("12,319,469"), 12319469.0);
  EXPECT_EQ(ncu_number("-0.04"), -0.04);
  EXPECT_EQ(ncu_number("1e3"), 1000.0);
  EXPECT_EQ(ncu_number("n/a"), std::nullopt);
  EXPECT_EQ(ncu_number("12,31"), std::nullopt);
  EXPECT_EQ(ncu_duration("2,368", "ns"), 2368);
  EXPECT_EQ(ncu_duration("2.37", "us"), 2370);
  EXPECT_EQ(ncu_duration("1.5", "second"), 1500000000);
  EXPECT_EQ(ncu_duration("2,368", "cycle"), std::nullopt);
  EXPECT_EQ(ncu_duration("-2", "ns"), std::nullopt);
  EXPECT_FALSE(is_foreign_number("9.0"));
  EXPECT_FALSE(is_foreign_number("0-31"));
  EXPECT_FALSE(is_foreign_number("PolicySpread"));
  EXPECT_EQ(ncu_extent("(1, 2, 3)"), (Extent{1, 2, 3}));
  EXPECT_EQ(ncu_extent("256"), std::nullopt);
}

TEST(NcuRanges, KeepColonsOfNames) {
  const auto ranges = ncu_ranges("7  \"moe:a::b:none:none:none:none:none:none\"");
  ASSERT_EQ(ranges.size(), 1U);
  EXPECT_EQ(ranges[0].domain, "moe");
  EXPECT_EQ(ranges[0].name, "a::b");
  EXPECT_THAT(ncu_ranges("1  \"not closed"), IsEmpty());
}

}  // namespace
}  // namespace thermoe
