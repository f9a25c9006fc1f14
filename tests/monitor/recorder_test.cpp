// SPDX-License-Identifier: Apache-2.0
#include "monitor/recorder.h"

#include <gtest/gtest.h>

namespace thermoe {
namespace {

TEST(Recorder, TimesOfDayAreWrittenToTheMillisecond) {
  const WallTime time(std::chrono::milliseconds(1'767'348'000'123));
  EXPECT_EQ(utc_text(time), "2026-01-02T10:00:00.123Z");
}

}  // namespace
}  // namespace thermoe
