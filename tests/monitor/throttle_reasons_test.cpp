// SPDX-License-Identifier: Apache-2.0
#include "monitor/throttle_reasons.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermoe {
namespace {

std::vector<std::string> words(std::uint64_t bits) {
  std::vector<std::string> all;
  for (const ThrottleReason& reason : throttle_reasons(bits)) all.push_back(reason.words);
  return all;
}

TEST(ThrottleReasons, EveryBitOfNvmlHasItsWords) {
  EXPECT_THAT(words(0x1FF),
              testing::ElementsAre("idle", "application clocks setting", "software power cap",
                                   "hardware slowdown", "sync boost", "software thermal slowdown",
                                   "hardware thermal slowdown", "hardware power brake",
                                   "display clocks setting"));
}

TEST(ThrottleReasons, NoneIsNone) { EXPECT_TRUE(throttle_reasons(0).empty()); }

TEST(ThrottleReasons, AFutureBitIsShownAsItIs) {
  EXPECT_THAT(words(0x1004), testing::ElementsAre("software power cap", "unknown reason 0x1000"));
}

TEST(ThrottleReasons, HeatAndPowerTakeClocksThatIdleDoesNot) {
  EXPECT_FALSE(throttle_reasons(0x1).front().harmful);
  EXPECT_TRUE(throttle_reasons(0x40).front().harmful);
}

}  // namespace
}  // namespace thermoe
