// SPDX-License-Identifier: Apache-2.0
#include "kernels/linear.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "core/errors.h"
#include "kernel_backend.h"

namespace thermoe {
namespace {

class LinearTest : public ::testing::TestWithParam<KernelBackend> {};
INSTANTIATE_TEST_SUITE_P(Linear, LinearTest, ::testing::ValuesIn(kernel_backends()), BackendName());

std::vector<float> random_values(std::size_t n, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(n);
  for (float& v : values) v = normal(random);
  return values;
}

TEST_P(LinearTest, EqualsTheProductForEveryShapeOfTile) {
  for (const int outputs : {1, 15, 16, 33}) {
    for (const int rows : {0, 1, 2, 5, 6, 7, 16}) {
      const int inputs = 19;
      const auto w = random_values(static_cast<std::size_t>(outputs) * inputs, 1);
      const auto x = random_values(static_cast<std::size_t>(rows) * inputs, 2);
      constexpr float kUntouched = 77.0F;
      std::vector<float> y(static_cast<std::size_t>(rows) * outputs + 1, kUntouched);
      const LinearWeights weights(w, outputs, inputs);
      GetParam().linear({.x = x.data(), .rows = rows, .weights = &weights, .out = y.data()});
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

TEST_P(LinearTest, ARowDoesNotDependOnTheRowsBesideIt) {
  const auto w = random_values(40 * 24, 3);
  const auto x = random_values(13 * 24, 4);
  const LinearWeights weights(w, 40, 24);
  std::vector<float> together(13 * 40);
  GetParam().linear({.x = x.data(), .rows = 13, .weights = &weights, .out = together.data()});
  for (int r = 0; r < 13; ++r) {
    std::vector<float> alone(40);
    GetParam().linear(
        {.x = x.data() + r * 24, .rows = 1, .weights = &weights, .out = alone.data()});
    EXPECT_TRUE(std::equal(alone.begin(), alone.end(), together.begin() + r * 40)) << "row " << r;
  }
}

TEST_P(LinearTest, RefusesBadArguments) {
  EXPECT_THROW(LinearWeights(std::vector<float>(5), 2, 3), PreconditionError);
  const LinearWeights weights(std::vector<float>(6), 2, 3);
  const LinearWeights empty;
  std::vector<float> x(3);
  std::vector<float> y(2);
  const LinearArgs good{.x = x.data(), .rows = 1, .weights = &weights, .out = y.data()};
  const auto refuses = [&](auto&& spoil) {
    LinearArgs bad = good;
    spoil(bad);
    EXPECT_THROW(GetParam().linear(bad), PreconditionError);
  };
  EXPECT_NO_THROW(GetParam().linear(good));
  refuses([](LinearArgs& a) { a.weights = nullptr; });
  refuses([&](LinearArgs& a) { a.weights = &empty; });
  refuses([](LinearArgs& a) { a.rows = -1; });
  refuses([](LinearArgs& a) { a.x = nullptr; });
  refuses([](LinearArgs& a) { a.out = nullptr; });
}

}  // namespace
}  // namespace thermoe
