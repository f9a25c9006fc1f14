// SPDX-License-Identifier: Apache-2.0
#include "cli/number_option.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace thermoe {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

/// Why `text` is refused for `--flag`; empty if it is taken.
template <class T>
std::string refusal(const CLI::Validator& validator, const std::string& text, T* value = nullptr) {
  CLI::App app;
  T taken{};
  app.add_option("--flag", taken, "")->check(validator);
  try {
    app.parse(std::vector<std::string>{"--flag=" + text});
  } catch (const CLI::ValidationError& error) {
    return error.what();
  }
  if (value != nullptr) *value = taken;
  return {};
}

class WholeNumbers : public testing::TestWithParam<const char*> {};
TEST_P(WholeNumbers, ThatAreNonePlainAndDecimalAreRefusedWithTheFlag) {
  EXPECT_THAT(refusal<int>(whole_number(1, 1024), GetParam()),
              AllOf(HasSubstr("--flag"), HasSubstr(GetParam()), HasSubstr("from 1 to 1024")));
}
INSTANTIATE_TEST_SUITE_P(Each, WholeNumbers,
                         testing::Values("010", "08", "0x10", "0b1", "1e2", "3.0", "nan", "1'000",
                                         "1_000", " 5", "5 ", "+5", "five", "0", "1025", "-1",
                                         "99999999999999999999"));

class RealNumbers : public testing::TestWithParam<const char*> {};
TEST_P(RealNumbers, ThatAreNoneFiniteAndDecimalAreRefusedWithTheFlag) {
  EXPECT_THAT(refusal<double>(real_number(0.0, 100.0), GetParam()),
              AllOf(HasSubstr("--flag"), HasSubstr(GetParam()), HasSubstr("from 0 to 100")));
}
INSTANTIATE_TEST_SUITE_P(Each, RealNumbers,
                         testing::Values("nan", "NaN", "-nan", "inf", "-inf", "1e999", "010.5",
                                         "0x1p3", "3,5", "5W", "+1", "-0.5", "100.1"));

TEST(NumberOption, TakesWhatLiesWithinTheLimits) {
  int whole = 0;
  double real = -1.0;
  EXPECT_EQ(refusal(whole_number(1, 1024), "1024", &whole), "");
  EXPECT_EQ(whole, 1024);
  EXPECT_EQ(refusal(real_number(0.0, 100.0), "1e-3", &real), "");
  EXPECT_EQ(real, 1e-3);
  EXPECT_EQ(refusal(real_number(0.0), "0", &real), "");
  EXPECT_EQ(real, 0.0);
  EXPECT_EQ(refusal(real_number(-10.0, 10.0), "-0.5", &real), "");
  EXPECT_EQ(real, -0.5);
}

TEST(NumberOption, AnOpenRangeIsSaidAsSuch) {
  EXPECT_THAT(refusal<double>(real_number(0.0), "inf"), HasSubstr("of at least 0"));
  EXPECT_THAT(refusal<int>(whole_number(0), "-1"), HasSubstr("of at least 0"));
}

TEST(NumberOption, WhatIsRefusedIsFitForATerminal) {
  EXPECT_THAT(refusal<int>(whole_number(1), "\x1b[31m5"), HasSubstr(": [31m5 is not"));
}

}  // namespace
}  // namespace thermoe
