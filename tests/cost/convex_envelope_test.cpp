// SPDX-License-Identifier: Apache-2.0
#include "cost/convex_envelope.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>

#include "core/errors.h"

namespace thermoe {
namespace {

/// The envelope by definition: the lowest chord between any two points that covers x.
double brute_force(const std::vector<CurvePoint>& points, double x) {
  double lowest = std::numeric_limits<double>::infinity();
  for (const CurvePoint& a : points) {
    for (const CurvePoint& b : points) {
      if (a.x > x || b.x < x) continue;
      const double y = a.x == b.x ? a.y : a.y + (b.y - a.y) * (x - a.x) / (b.x - a.x);
      lowest = std::min(lowest, y);
    }
  }
  return lowest;
}

double on_envelope(const std::vector<CurvePoint>& hull, double x) {
  for (std::size_t i = 1; i < hull.size(); ++i) {
    if (x > hull[i].x) continue;
    const CurvePoint &a = hull[i - 1], &b = hull[i];
    return a.y + (b.y - a.y) * (x - a.x) / (b.x - a.x);
  }
  return hull.back().y;
}

TEST(ConvexEnvelope, EqualsTheLowestChordEverywhere) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> step(0.1, 3.0), height(1.0, 100.0);
  for (int round = 0; round < 50; ++round) {
    std::vector<CurvePoint> points;
    double x = 0.0;
    for (int i = 0; i < 2 + round % 15; ++i) points.push_back({x += step(random), height(random)});
    const auto hull = lower_convex_envelope(points);
    double worst = 0.0;
    for (const CurvePoint& p : points) {
      EXPECT_NEAR(on_envelope(hull, p.x), brute_force(points, p.x), 1e-9);
      worst = std::max(worst, (p.y - brute_force(points, p.x)) / p.y);
    }
    EXPECT_NEAR(distance_from_envelope(points).relative, worst, 1e-9);
  }
}

TEST(ConvexEnvelope, AConvexCurveIsItsOwnEnvelope) {
  const std::vector<CurvePoint> points = {{1, 5}, {2, 3}, {4, 2}, {8, 10}};
  EXPECT_EQ(lower_convex_envelope(points), points);
  EXPECT_EQ(distance_from_envelope(points).relative, 0.0);
}

TEST(ConvexEnvelope, NamesTheRowThatSticksOut) {
  const std::vector<CurvePoint> points = {{1, 10}, {2, 40}, {3, 30}};
  const EnvelopeDistance distance = distance_from_envelope(points);
  EXPECT_DOUBLE_EQ(distance.relative, 0.5);  // the chord is at 20
  EXPECT_EQ(distance.at_x, 2.0);
}

TEST(ConvexEnvelope, TakesOnePointAndRefusesUnsortedOnes) {
  EXPECT_EQ(lower_convex_envelope(std::vector<CurvePoint>{{1, 2}}).size(), 1u);
  EXPECT_EQ(distance_from_envelope({}).relative, 0.0);
  EXPECT_THROW(lower_convex_envelope(std::vector<CurvePoint>{{2, 1}, {1, 1}}), PreconditionError);
}

}  // namespace
}  // namespace thermoe
