// SPDX-License-Identifier: Apache-2.0
#include "core/spread_extra.h"

#include <gtest/gtest.h>

#include <vector>

namespace thermoe {
namespace {

TEST(SpreadExtra, KeepsItsShareOverTokensAndForEachStream) {
  for (const double share : {0.0, 0.0625, 0.3, 0.5, 0.77, 1.0}) {
    constexpr int kStreams = 16;
    constexpr int kSteps = 400;
    std::vector<int> by_stream(kStreams);
    for (int step = 0; step < kSteps; ++step) {
      std::vector<int> k(kStreams);
      spread_extra(5, static_cast<float>(share), 1, static_cast<std::uint64_t>(step), k);
      int extra = 0;
      for (int b = 0; b < kStreams; ++b) {
        ASSERT_TRUE(k[b] == 5 || k[b] == 6);
        extra += k[b] - 5;
        by_stream[b] += k[b] - 5;
      }
      EXPECT_NEAR(extra, share * kStreams, 1.0) << "share " << share << " step " << step;
    }
    for (const int n : by_stream)
      EXPECT_NEAR(n, share * kSteps, 0.05 * kSteps) << "share " << share;
  }
}

}  // namespace
}  // namespace thermoe
