// SPDX-License-Identifier: Apache-2.0
#include "report/thinning.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/errors.h"

namespace thermoe {
namespace {

using testing::Contains;
using testing::ElementsAre;

std::vector<double> wave(std::size_t count) {
  std::vector<double> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = std::sin(0.01 * static_cast<double>(i));
  return values;
}

TEST(Thinning, AShortLineIsKeptWhole) {
  EXPECT_THAT(thin(std::vector<double>{3, 1, 2}, 4), ElementsAre(0, 1, 2));
  EXPECT_TRUE(thin(std::vector<double>{}, 4).empty());
}

TEST(Thinning, ALineThatNeverChangesNeedsItsTwoEnds) {
  EXPECT_THAT(thin(std::vector<double>(1000, 5.0), 4), ElementsAre(0, 999));
}

TEST(Thinning, APeakOfOneRowSurvivesWhereverItLies) {
  for (const std::size_t at : {0UL, 1UL, 4999UL, 77'777UL, 99'998UL, 99'999UL}) {
    for (const double peak : {9.0, -9.0}) {
      std::vector<double> values = wave(100'000);
      values[at] = peak;
      EXPECT_THAT(thin(values, 500), Contains(at)) << peak;
    }
  }
}

TEST(Thinning, NoMoreThanAskedForInAscendingOrderWithBothEnds) {
  const std::vector<double> values = wave(12'345);
  for (const std::size_t most : {4UL, 7UL, 500UL, 12'344UL}) {
    const std::vector<std::size_t> kept = thin(values, most);
    EXPECT_LE(kept.size(), most);
    EXPECT_TRUE(std::is_sorted(kept.begin(), kept.end()));
    EXPECT_EQ(std::adjacent_find(kept.begin(), kept.end()), kept.end()) << "none twice";
    EXPECT_EQ(kept.front(), 0U);
    EXPECT_EQ(kept.back(), values.size() - 1);
  }
}

TEST(Thinning, EachPartKeepsItsLeastAndItsMost) {
  // 8 inner values, 2 buckets of 4: (5 1 9 4) and (2 8 3 6).
  const std::vector<double> values = {0, 5, 1, 9, 4, 2, 8, 3, 6, 0};
  EXPECT_THAT(thin(values, 6), ElementsAre(0, 2, 3, 5, 6, 9));
}

TEST(Thinning, GapsShowAndNeverHideAValue) {
  const double gap = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> values = wave(1000);
  std::fill(values.begin() + 400, values.begin() + 600, gap);
  values[500] = 7.0;
  const std::vector<std::size_t> kept = thin(values, 100);
  EXPECT_THAT(kept, Contains(500U));
  EXPECT_TRUE(
      std::any_of(kept.begin(), kept.end(), [&](std::size_t i) { return std::isnan(values[i]); }));
}

TEST(Thinning, FewerThanFourPointsAreRefused) {
  EXPECT_THROW(thin(std::vector<double>{1, 2}, 3), PreconditionError);
}

}  // namespace
}  // namespace thermoe
