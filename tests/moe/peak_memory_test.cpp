// SPDX-License-Identifier: Apache-2.0
#include "moe/peak_memory.h"

#include <gtest/gtest.h>

#include <vector>

namespace thermoe {
namespace {

TEST(PeakMemory, GrowsWhenMemoryIsTouched) {
  const auto before = peak_memory_bytes();
  if (!before) GTEST_SKIP() << "the system does not tell";
  constexpr std::size_t kBytes = std::size_t{64} << 20;
  const std::vector<char> touched(kBytes, 'x');
  const auto after = peak_memory_bytes();
  ASSERT_TRUE(after);
  EXPECT_GE(*after, kBytes + touched[5] - 'x');
  EXPECT_GE(*after, *before);
}

TEST(PeakMemory, AResetForgetsWhatIsNoLongerHeld) {
  { const std::vector<char> touched(std::size_t{256} << 20, 'x'); }
  const auto before = peak_memory_bytes();
  if (!before || !reset_peak_memory()) GTEST_SKIP() << "the system does not tell, or not again";
  EXPECT_LT(*peak_memory_bytes(), *before);
}

}  // namespace
}  // namespace thermoe
