// SPDX-License-Identifier: Apache-2.0
#include "report/paired_interval.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace thermoe {
namespace {

/// Pieces of different lengths and difficulty whose loss is 1 % on average.
std::vector<PairedPiece> pieces(std::size_t count, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<PairedPiece> made;
  for (std::size_t i = 0; i < count; ++i) {
    const double baseline = 300 + static_cast<double>(random() % 1000);
    made.push_back({.bits = baseline * (1.01 + 0.02 * normal(random)), .baseline = baseline});
  }
  return made;
}

TEST(LossInterval, CoversTheTruthAboutNineteenTimesInTwenty) {
  int covered = 0;
  for (std::uint64_t seed = 0; seed < 400; ++seed) {
    const auto interval = loss_interval(pieces(40, seed), seed);
    if (interval->low <= 1.0 && 1.0 <= interval->high) ++covered;
  }
  EXPECT_GE(covered, 365);
  EXPECT_LE(covered, 395);
}

TEST(LossInterval, IsNarrowerWithMoreText) {
  const auto width = [](std::size_t count) {
    const auto interval = loss_interval(pieces(count, 1), 1);
    return interval->high - interval->low;
  };
  EXPECT_LT(width(1600), 0.3 * width(40));
}

TEST(LossInterval, PairsWhatDiffersWithinAPieceOnly) {
  // Hard and easy pieces, each 1 % worse: the text varies, the loss does not.
  std::vector<PairedPiece> even;
  for (int i = 1; i <= 20; ++i) even.push_back({.bits = 1.01 * i * i, .baseline = 1.0 * i * i});
  const auto interval = loss_interval(even, 3);
  EXPECT_NEAR(interval->low, 1.0, 1e-9);
  EXPECT_NEAR(interval->high, 1.0, 1e-9);
}

TEST(LossInterval, IsTheSameForASeedAndAbsentForAHandfulOfPieces) {
  const auto some = pieces(30, 5);
  EXPECT_EQ(loss_interval(some, 7)->low, loss_interval(some, 7)->low);
  EXPECT_NE(loss_interval(some, 7)->low, loss_interval(some, 8)->low);
  EXPECT_FALSE(loss_interval(pieces(7, 1), 1).has_value());
  EXPECT_FALSE(loss_interval({}, 1).has_value());
}

}  // namespace
}  // namespace thermoe
