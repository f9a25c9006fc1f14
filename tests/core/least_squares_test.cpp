// SPDX-License-Identifier: Apache-2.0
#include "core/least_squares.h"

#include <gmock/gmock.h>

#include <tuple>

namespace thermoe {
namespace {

using ::testing::DoubleNear;
using ::testing::ElementsAre;

// 2 a - 3 b + 0.5 c, whatever the scale of a factor.
std::vector<LinearEquation> equations() {
  std::vector<LinearEquation> all;
  for (const auto& [a, b, c] :
       {std::tuple{1.0, 0.0, 2.0}, {0.0, 1.0, 1.0}, {3.0, 1.0, 0.0}, {1.0, 2.0, 5.0}}) {
    all.push_back({.factors = {a, 1e-9 * b, 1e9 * c}, .value = 2 * a - 3 * b + 0.5 * c});
  }
  return all;
}
constexpr std::size_t kAll[] = {0, 1, 2};
constexpr double kShare = 1e-6;

TEST(LeastSquares, FindsWhatTheEquationsWereMadeOf) {
  const auto x = least_squares(equations(), kAll, kShare);
  ASSERT_TRUE(x);
  EXPECT_THAT(*x, ElementsAre(DoubleNear(2, 1e-9), DoubleNear(-3e9, 1), DoubleNear(5e-10, 1e-18)));
}

TEST(LeastSquares, WhatIsNoUnknownIsZeroAndTheRestTheBestWithoutIt) {
  constexpr std::size_t kFirst[] = {0};
  // sum of a * value over sum of a * a
  EXPECT_THAT(least_squares(equations(), kFirst, kShare).value(),
              ElementsAre(DoubleNear((3.0 + 3 * 3.0 - 1.5) / 11, 1e-12), 0.0, 0.0));
}

TEST(LeastSquares, AnUnknownThatTheOthersExplainIsNotToldApart) {
  auto all = equations();
  for (LinearEquation& e : all) e.factors[2] = 7 * e.factors[0];
  EXPECT_FALSE(least_squares(all, kAll, kShare));
  constexpr std::size_t kApart[] = {0, 1};
  EXPECT_TRUE(least_squares(all, kApart, kShare));
  for (LinearEquation& e : all) e.factors[2] = 0.0;
  EXPECT_FALSE(least_squares(all, kAll, kShare)) << "nothing follows from it";
}

}  // namespace
}  // namespace thermoe
