// SPDX-License-Identifier: Apache-2.0
#include "control/shadow_prices.h"

#include <gtest/gtest.h>

#include <random>

#include "core/errors.h"
#include "price_certificate.h"
#include "random_price_problem.h"

namespace thermoe {
namespace {

using testing::Certificate;
using testing::certify;
using testing::Instance;
using testing::plain_use;
using testing::random_instance;
using testing::Shape;
using testing::single_device;
using testing::solve;

TEST(ShadowPrices, AreOptimalByACertificateReadLiterally) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    const Shape shape{.layers = 1 + static_cast<int>(seed % 3), .tau = seed % 2 == 0 ? 0.02 : 0.1};
    const Instance i = random_instance(seed, shape);
    const ShadowPrices s = solve(i.problem);
    ASSERT_TRUE(s.converged) << "seed " << seed << " gap " << s.gap() << " sweeps " << s.sweeps;
    const Certificate c = certify(i.problem, s, single_device(i.problem, s));
    const double rows = shape.layers * shape.tokens;
    EXPECT_LE((c.primal - c.dual) / rows, 1e-6) << "seed " << seed;
    EXPECT_GE((c.primal - c.dual) / rows, -1e-9) << "seed " << seed;
    EXPECT_NEAR(s.primal / rows, c.primal / rows, 1e-6) << "seed " << seed;
    EXPECT_NEAR(s.dual / rows, c.dual / rows, 1e-6) << "seed " << seed;
    for (std::size_t cell = 0; cell < c.load.size(); ++cell)
      EXPECT_NEAR(s.load[cell], c.load[cell], 1e-4);
    EXPECT_LE(c.use[0], i.problem.resources[0].cap + 1e-4) << "seed " << seed;
    EXPECT_GT(s.resource_price[0], 0.0);
  }
}

TEST(ShadowPrices, TwoCapsAreHeldTogether) {
  int both = 0;
  for (std::uint32_t seed = 1; seed <= 30; ++seed) {
    const Instance i = random_instance(seed, {.layers = 2, .tau = 0.05}, 2, 0.9);
    const ShadowPrices s = solve(i.problem);
    ASSERT_TRUE(s.converged) << "seed " << seed << " gap " << s.gap() << " sweeps " << s.sweeps;
    const Certificate c = certify(i.problem, s, single_device(i.problem, s));
    EXPECT_LE((c.primal - c.dual) / 48.0, 1e-6) << "seed " << seed;
    both += s.resource_price[0] > 1e-6 && s.resource_price[1] > 1e-6 ? 1 : 0;
  }
  EXPECT_GE(both, 5);
}

TEST(ShadowPrices, AnyStartEndsAtTheSamePrices) {
  const Instance i = random_instance(9, {});
  const ShadowPrices cold = solve(i.problem);
  const Instance other = random_instance(10, {});
  WarmStart warm;
  solve_prices(other.problem, {}, warm);
  const ShadowPrices from_other = solve_prices(i.problem, {.gap = 1e-7}, warm);
  EXPECT_TRUE(from_other.converged);
  EXPECT_NEAR(cold.resource_price[0], from_other.resource_price[0], 1e-3 * cold.resource_price[0]);
  for (std::size_t c = 0; c < cold.load.size(); ++c)
    EXPECT_NEAR(cold.load[c], from_other.load[c], 2e-2);
  const ShadowPrices again = solve_prices(i.problem, {.gap = 1e-6}, warm);
  EXPECT_EQ(again.sweeps, 1);
}

/// Least of the costs that any loads have: picks go to the cheapest segments.
double floor_of(const PriceProblem& p) {
  double sum = p.resources[0].constant;
  for (int l = 0; l < p.layers; ++l) {
    std::vector<std::pair<double, double>> segments;
    for (int e = 0; e < p.experts; ++e) {
      const CappedResource& r = p.resources[0];
      const ConvexCurve& c = r.curves[r.curve_of[static_cast<std::size_t>(l) * p.experts + e]];
      for (std::size_t j = 0; j < c.corner.size() && c.corner[j] < p.tokens; ++j) {
        const double end =
            j + 1 < c.corner.size() ? std::min<double>(c.corner[j + 1], p.tokens) : p.tokens;
        segments.push_back({c.slope[j], end - c.corner[j]});
      }
    }
    std::sort(segments.begin(), segments.end());
    double left = static_cast<double>(p.k) * p.tokens;
    for (const auto& [slope, width] : segments) {
      sum += slope * std::min(width, left);
      left -= std::min(width, left);
    }
  }
  return sum;
}

TEST(ShadowPrices, ACapOutOfReachGivesTheNearestThatIsNot) {
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    Instance i = random_instance(seed, {.layers = 2});
    const double least = floor_of(i.problem);
    i.problem.resources[0].cap = 0.9 * least;
    const ShadowPrices s = solve(i.problem, 1e-4);
    EXPECT_FALSE(s.feasible());
    EXPECT_TRUE(s.converged) << "seed " << seed << " gap " << s.gap() << " sweeps " << s.sweeps;
    EXPECT_NEAR(s.resource_use[0] / least, 1.0, 2e-3) << "seed " << seed;
    EXPECT_DOUBLE_EQ(s.resource_price[0], 10.0);
  }
}

TEST(ShadowPrices, TheSlowestDevicesExpertsArePriced) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    Instance i = random_instance(seed, {.layers = 2, .experts = 12});
    CappedResource& r = i.problem.resources[0];
    for (int e = 0; e < 12; ++e) r.device_of.push_back(static_cast<std::uint8_t>(e / 4));
    r.cap = 3.0 + 0.85 * (plain_use(i.problem)[0] - 3.0);
    WarmStart warm;
    const ShadowPrices s = solve_prices(i.problem, {.gap = 1e-7}, warm);
    ASSERT_TRUE(s.converged) << "seed " << seed << " gap " << s.gap() << " sweeps " << s.sweeps;
    std::vector<std::vector<std::vector<double>>> theta(1);
    for (std::size_t l = 0; l < 2; ++l) {
      const double* of_layer = &warm.prices.device[l * 3];
      theta[0].push_back({of_layer[0], of_layer[1], of_layer[2]});
      EXPECT_NEAR(of_layer[0] + of_layer[1] + of_layer[2], s.resource_price[0], 1e-9);
    }
    const Certificate c = certify(i.problem, s, theta);
    EXPECT_LE((c.primal - c.dual) / 48.0, 1e-6) << "seed " << seed;
    EXPECT_LE(s.resource_use[0], r.cap);
  }
}

TEST(ShadowPrices, RefuseWhatIsNoProblem) {
  Instance i = random_instance(1, {});
  PriceProblem p = i.problem;
  p.k = 13;
  EXPECT_THROW(solve(p), PreconditionError);
  p = i.problem;
  p.tau = 0.0;
  EXPECT_THROW(solve(p), PreconditionError);
  p = i.problem;
  p.resources[0].cap = std::numeric_limits<double>::quiet_NaN();
  EXPECT_THROW(solve(p), PreconditionError);
  p = i.problem;
  p.resources[0].curves.clear();
  EXPECT_THROW(solve(p), PreconditionError);
  i.scores[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THROW(solve(i.problem), PreconditionError);
  i.scores[40] = std::numeric_limits<float>::infinity();
  EXPECT_THROW(solve(i.problem), PreconditionError);
}

TEST(ShadowPrices, ExpertsOutOfReachGetNothing) {
  Instance i = random_instance(4, {});
  for (int t = 0; t < 24; ++t) {
    for (int e = 0; e < 4; ++e)
      i.scores[static_cast<std::size_t>(t) * 12 + e] = -std::numeric_limits<float>::infinity();
  }
  i.problem.resources[0].cap = 3.0 + 0.9 * (plain_use(i.problem)[0] - 3.0);
  const ShadowPrices s = solve(i.problem);
  EXPECT_TRUE(s.converged) << s.gap();
  for (int e = 0; e < 4; ++e) EXPECT_LT(s.load[static_cast<std::size_t>(e)], 1e-6);
}

TEST(ConvexCurve, IsTheEnvelopeOfItsPoints) {
  const std::vector<CurvePoint> points = {{0.0, 0.0}, {1.0, 5.0}, {10.0, 20.0}, {20.0, 60.0}};
  const ConvexCurve c = convex_curve(points);
  EXPECT_EQ(c.corner, (std::vector<double>{0.0, 10.0}));
  EXPECT_DOUBLE_EQ(c.at(5.0), 10.0);
  EXPECT_DOUBLE_EQ(c.at(15.0), 40.0);
  EXPECT_DOUBLE_EQ(c.at(30.0), 100.0);
  EXPECT_DOUBLE_EQ(stretched(c, 2.0).at(30.0), c.at(15.0));
}

}  // namespace
}  // namespace thermoe
