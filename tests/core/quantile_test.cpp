// SPDX-License-Identifier: Apache-2.0
#include "core/quantile.h"

#include <gtest/gtest.h>

#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

TEST(Quantile, LiesBetweenTheNearestTwo) {
  const std::vector<double> values{1, 2, 4, 8};
  EXPECT_DOUBLE_EQ(quantile(values, 0.0), 1.0);
  EXPECT_DOUBLE_EQ(quantile(values, 0.5), 3.0);
  EXPECT_DOUBLE_EQ(quantile(values, 0.9), 4.0 + 0.7 * 4.0);
  EXPECT_DOUBLE_EQ(quantile(values, 1.0), 8.0);
  EXPECT_DOUBLE_EQ(quantile(std::vector{5.0}, 0.9), 5.0);
  EXPECT_THROW(quantile({}, 0.5), PreconditionError);
}

TEST(Quantile, ASpreadIsRelativeToTheMedian) {
  EXPECT_DOUBLE_EQ(relative_spread(std::vector<double>{90, 95, 100, 105, 110}), 16.0 / 200.0);
}

}  // namespace
}  // namespace thermoe
