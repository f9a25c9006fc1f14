// SPDX-License-Identifier: Apache-2.0
#include "moe/packed_linear.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "core/errors.h"

namespace thermoe {
namespace {

std::vector<float> random_values(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

TEST(PackedLinear, EqualsTheProductForEveryShapeOfTile) {
  for (const int outputs : {1, 15, 16, 33}) {
    for (const int rows : {1, 2, 5, 6, 7, 16}) {
      const int inputs = 19;
      const auto w = random_values(static_cast<std::size_t>(outputs) * inputs, 1);
      const auto x = random_values(static_cast<std::size_t>(rows) * inputs, 2);
      constexpr float kUntouched = 77.0F;
      std::vector<float> y(static_cast<std::size_t>(rows) * outputs + 1, kUntouched);
      PackedLinear(w, outputs, inputs).forward(x.data(), rows, y.data());
      for (int r = 0; r < rows; ++r) {
        for (int o = 0; o < outputs; ++o) {
          double expected = 0.0;
          for (int i = 0; i < inputs; ++i) {
            expected += static_cast<double>(x[r * inputs + i]) * w[o * inputs + i];
          }
          ASSERT_NEAR(y[r * outputs + o], expected, 1e-5) << outputs << " outputs, row " << r;
        }
      }
      EXPECT_EQ(y.back(), kUntouched);
    }
  }
}

TEST(PackedLinear, ARowDoesNotDependOnTheRowsBesideIt) {
  const auto w = random_values(40 * 24, 3);
  const auto x = random_values(13 * 24, 4);
  const PackedLinear linear(w, 40, 24);
  std::vector<float> together(13 * 40);
  linear.forward(x.data(), 13, together.data());
  for (int r = 0; r < 13; ++r) {
    std::vector<float> alone(40);
    linear.forward(x.data() + r * 24, 1, alone.data());
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + r * 40)) << "row " << r;
  }
}

TEST(PackedLinear, RefusesWeightsOfAnotherSize) {
  EXPECT_THROW(PackedLinear(std::vector<float>(5), 2, 3), PreconditionError);
}

}  // namespace
}  // namespace thermoe
