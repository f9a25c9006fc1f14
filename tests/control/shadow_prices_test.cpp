// SPDX-License-Identifier: Apache-2.0
#include "control/shadow_prices.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

#include "control/baseline.h"
#include "core/errors.h"
#include "core/routing_plan.h"
#include "price_certificate.h"

namespace thermoe {
namespace {

using testing::Certificate;
using testing::certify;
using testing::single_device;

/// Scores and a problem over them.
struct Instance {
  std::vector<float> scores{};
  PriceProblem problem{};
  void attach() { problem.scores = scores; }
};

struct Shape {
  int layers = 1, tokens = 24, experts = 12, k = 3;
  double tau = 0.02;
};

/// Convex, with up to four segments, of costs near `level` a token.
ConvexCurve random_curve(std::mt19937& random, double level, int tokens) {
  std::uniform_real_distribution<double> part(0.2, 1.0);
  std::vector<CurvePoint> points = {{0.0, 0.0}};
  double x = 0.0, y = 0.0, slope = level * part(random);
  const int segments = 1 + static_cast<int>(random() % 4);
  for (int i = 0; i < segments; ++i) {
    const double width = part(random) * tokens / 4.0;
    x += width, y += slope * width;
    points.push_back({x, y});
    slope *= 1.0 + part(random);
  }
  return convex_curve(points);
}

std::vector<float> random_scores(std::mt19937& random, const Shape& s) {
  std::normal_distribution<float> normal;
  std::vector<float> popularity(static_cast<std::size_t>(s.layers) * s.experts);
  for (float& p : popularity) p = 0.1F * normal(random);
  std::vector<float> v;
  for (int row = 0; row < s.layers * s.tokens; ++row) {
    for (int e = 0; e < s.experts; ++e) {
      v.push_back(popularity[static_cast<std::size_t>(row / s.tokens) * s.experts + e] +
                  0.1F * normal(random));
    }
  }
  return v;
}

/// What C_r would be without caps.
std::vector<double> plain_use(PriceProblem p) {
  for (CappedResource& r : p.resources) r.cap = 1e30;
  WarmStart none;
  return solve_prices(p, {}, none).resource_use;
}

Instance random_instance(std::uint32_t seed, const Shape& s, int resources = 1,
                         double share = 0.85) {
  std::mt19937 random(seed);
  Instance i{
      .scores = random_scores(random, s),
      .problem = {
          .layers = s.layers, .tokens = s.tokens, .experts = s.experts, .k = s.k, .tau = s.tau}};
  for (int r = 0; r < resources; ++r) {
    CappedResource c{.constant = 3.0, .price_ceiling = 10.0};
    for (int v = 0; v < 5; ++v) c.curves.push_back(random_curve(random, 1.0 + v, s.tokens));
    for (int cell = 0; cell < s.layers * s.experts; ++cell)
      c.curve_of.push_back(static_cast<std::uint8_t>(random() % 5));
    i.problem.resources.push_back(std::move(c));
  }
  i.attach();
  const std::vector<double> plain = plain_use(i.problem);
  for (std::size_t r = 0; r < plain.size(); ++r)
    i.problem.resources[r].cap = 3.0 + share * (plain[r] - 3.0);
  return i;
}

ShadowPrices solve(const PriceProblem& p, double gap = 1e-7, int threads = 1) {
  WarmStart none;
  return solve_prices(p, {.gap = gap, .threads = threads}, none);
}

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

TEST(ShadowPrices, CapsThatHoldAnywayLeaveTheBaselineBitForBit) {
  Instance i = random_instance(3, {.layers = 2});
  i.problem.resources[0].cap = 1e6;
  const ShadowPrices s = solve(i.problem);
  EXPECT_EQ(s.sweeps, 1);
  EXPECT_EQ(s.gap(), 0.0);
  RoutingPlan plan(2, 12, 3);
  const RoutingPlan baseline = plan;
  for (int l = 0; l < 2; ++l) {
    for (int e = 0; e < 12; ++e)
      plan.selection_bias(l)[e] = static_cast<float>(s.price[static_cast<std::size_t>(l) * 12 + e]);
  }
  EXPECT_TRUE(std::equal(plan.bytes().begin(), plan.bytes().end(), baseline.bytes().begin()));
}

TEST(ShadowPrices, TheBudgetIsNeverExceededInTheModel) {
  for (std::uint32_t seed = 1; seed <= 40; ++seed) {
    const Instance i =
        random_instance(100 + seed, {.layers = 2}, 1 + static_cast<int>(seed % 2), 0.9);
    for (const double gap : {1e-2, 1e-4, 1e-6}) {
      const ShadowPrices s = solve(i.problem, gap);
      ASSERT_TRUE(s.converged) << "seed " << seed << " gap " << gap;
      for (std::size_t r = 0; r < s.resource_use.size(); ++r) {
        EXPECT_LE(s.resource_use[r], i.problem.resources[r].cap)
            << "seed " << seed << " gap " << gap;
      }
      EXPECT_TRUE(s.feasible());
    }
  }
}

TEST(ShadowPrices, AShiftOfATokensScoresChangesNothing) {
  Instance i = random_instance(5, {});
  const ShadowPrices before = solve(i.problem);
  std::mt19937 random(1);
  for (int t = 0; t < 24; ++t) {
    const float shift = static_cast<float>(random() % 64) / 64.0F;
    for (int e = 0; e < 12; ++e) i.scores[static_cast<std::size_t>(t) * 12 + e] += shift;
  }
  const ShadowPrices after = solve(i.problem);
  for (std::size_t c = 0; c < before.price.size(); ++c) {
    EXPECT_NEAR(before.load[c], after.load[c], 1e-3);
    EXPECT_NEAR(before.price[c], after.price[c], 1e-4);
  }
}

TEST(ShadowPrices, RenamedExpertsHaveTheirOldPrices) {
  Instance i = random_instance(6, {});
  const ShadowPrices before = solve(i.problem);
  std::vector<int> name(12);
  std::iota(name.begin(), name.end(), 0);
  std::shuffle(name.begin(), name.end(), std::mt19937(2));
  Instance j = i;
  for (int t = 0; t < 24; ++t) {
    for (int e = 0; e < 12; ++e) j.scores[t * 12 + name[e]] = i.scores[t * 12 + e];
  }
  for (int e = 0; e < 12; ++e)
    j.problem.resources[0].curve_of[name[e]] = i.problem.resources[0].curve_of[e];
  j.attach();
  const ShadowPrices after = solve(j.problem);
  for (int e = 0; e < 12; ++e) {
    EXPECT_NEAR(before.load[e], after.load[name[e]], 1e-3);
    EXPECT_NEAR(before.price[e], after.price[name[e]], 1e-4);
  }
}

/// A cap of nothing at a low ceiling is a fixed price: w (C - cap).
Instance at_fixed_price(std::uint32_t seed, double price) {
  Instance i = random_instance(seed, {});
  i.problem.resources[0].cap = 0.0;
  i.problem.resources[0].price_ceiling = price;
  return i;
}

TEST(ShadowPrices, ADearerExpertNeverGainsLoad) {
  for (std::uint32_t seed = 1; seed <= 20; ++seed) {
    Instance i = at_fixed_price(seed, 0.02);
    const ShadowPrices before = solve(i.problem);
    ASSERT_TRUE(before.converged) << before.gap();
    CappedResource& r = i.problem.resources[0];
    for (std::size_t e = 0; e < 12; ++e) {
      const CappedResource was = r;
      ConvexCurve dearer = r.curves[r.curve_of[e]];
      for (double& v : dearer.value) v *= 1.3;
      for (double& v : dearer.slope) v *= 1.3;
      r.curve_of[e] = static_cast<std::uint8_t>(r.curves.size());
      r.curves.push_back(dearer);
      const ShadowPrices after = solve(i.problem);
      EXPECT_LE(after.load[e], before.load[e] + 2e-2) << "seed " << seed << " expert " << e;
      r = was;
    }
  }
}

TEST(ShadowPrices, CostsNeverRiseWithTheirPrice) {
  for (std::uint32_t seed = 1; seed <= 10; ++seed) {
    double last = 1e30;
    for (const double price : {1e-4, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0}) {
      const Instance i = at_fixed_price(seed, price);
      const ShadowPrices s = solve(i.problem, 1e-5);
      EXPECT_TRUE(s.converged) << "seed " << seed << " price " << price << " gap " << s.gap();
      EXPECT_LE(s.resource_use[0], last + 1e-2) << "seed " << seed << " price " << price;
      last = s.resource_use[0];
    }
  }
}

TEST(ShadowPrices, AreTheSameBitsForAnyNumberOfThreads) {
  const Instance i = random_instance(8, {.layers = 3, .tokens = 200});
  const ShadowPrices one = solve(i.problem, 1e-5);
  for (const int threads : {2, 3, 7}) {
    const ShadowPrices many = solve(i.problem, 1e-5, threads);
    EXPECT_EQ(one.price, many.price);
    EXPECT_EQ(one.load, many.load);
    EXPECT_EQ(one.sweeps, many.sweeps);
  }
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
