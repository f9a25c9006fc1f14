// SPDX-License-Identifier: Apache-2.0
#include "control/fermi_rows.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>
#include <tuple>

#include "price_certificate.h"

namespace thermoe {
namespace {

struct Shape {
  int tokens, experts, k;
  double tau, spread;
  bool out_of_reach = false;
};

class FermiRowsOf : public ::testing::TestWithParam<std::tuple<Shape, cpu::Isa>> {};

/// Against bisection in double, from a start that was good for other prices.
TEST_P(FermiRowsOf, HaveTheLoadsAndValueThatBisectionInDoubleFinds) {
  const auto [s, isa] = GetParam();
  if (!cpu::supported(isa)) GTEST_SKIP() << "this machine lacks the instruction set";
  std::mt19937 random(3);
  std::normal_distribution<float> normal(0.0F, static_cast<float>(s.spread));
  const auto experts = static_cast<std::size_t>(s.experts);
  std::vector<float> scores;
  for (int i = 0; i < s.tokens * s.experts; ++i) {
    const bool out = s.out_of_reach && i % s.experts >= s.k + 1;
    scores.push_back(out ? -std::numeric_limits<float>::infinity() : normal(random));
  }
  FermiRows rows(scores, 1, s.tokens, s.experts, s.k, s.tau, isa);
  std::vector<double> price(experts, 0.0);
  FermiLoads loads;
  for (const double scale : {0.0, 0.1 * s.tau, 10.0 * s.tau, s.spread, 0.0}) {
    for (double& p : price) p = scale * normal(random) / s.spread;
    rows.sweep(price, 1, loads);
    std::vector<double> expected(experts, 0.0);
    double value = 0.0;
    for (int t = 0; t < s.tokens; ++t) {
      std::vector<double> v(experts);
      for (std::size_t e = 0; e < experts; ++e) v[e] = scores[t * experts + e] - price[e];
      const std::vector<double> x = testing::fermi(v, s.k, s.tau);
      for (std::size_t e = 0; e < experts; ++e) {
        expected[e] += x[e];
        if (x[e] > 0.0) value += -v[e] * x[e] + s.tau * testing::entropy(x[e]);
      }
    }
    // Scores are held as floats, in units of tau from about the k-th best.
    const double score_error = 1e-6 + 1e-7 * s.spread / s.tau, sum_error = 1e-7 * s.k;
    EXPECT_NEAR(loads.value / s.tokens, value / s.tokens, s.k * s.tau * score_error) << scale;
    for (std::size_t e = 0; e < experts; ++e)
      EXPECT_NEAR(loads.load[e], expected[e], s.tokens * (score_error + sum_error))
          << scale << " expert " << e;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Shapes, FermiRowsOf,
    ::testing::Combine(::testing::Values(Shape{5, 3, 1, 0.1, 0.3}, Shape{70, 64, 8, 0.01, 0.1},
                                         Shape{3, 1024, 1, 0.004, 0.2},
                                         Shape{3, 1024, 1023, 0.05, 0.2},
                                         Shape{20, 17, 4, 1e-4, 0.5}, Shape{20, 16, 4, 10.0, 0.5},
                                         Shape{20, 40, 4, 0.02, 0.3, true}),
                       ::testing::Values(cpu::Isa::kBaseline, cpu::Isa::kAvx2, cpu::Isa::kAvx512)));

}  // namespace
}  // namespace thermoe
