// SPDX-License-Identifier: Apache-2.0
#include "control/convex_curve.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {

std::size_t ConvexCurve::segment(double load) const {
  const auto above = std::upper_bound(corner.begin() + 1, corner.end(), load);
  return static_cast<std::size_t>(above - corner.begin()) - 1;
}

double ConvexCurve::at(double load) const {
  const std::size_t s = segment(load);
  return value[s] + slope[s] * (load - corner[s]);
}

ConvexCurve linear_curve(double slope) { return {{0.0}, {0.0}, {slope}}; }

ConvexCurve convex_curve(std::span<const CurvePoint> points) {
  THERMOE_EXPECT(!points.empty(), "a convex curve needs at least one point");
  for (const CurvePoint& p : points) {
    THERMOE_EXPECT(std::isfinite(p.x) && std::isfinite(p.y) && p.x >= 0.0 && p.y >= 0.0,
                   "convex curve: load={} cost={}: must be finite and >= 0", p.x, p.y);
  }
  const std::vector<CurvePoint> hull = lower_convex_envelope(points);
  if (hull.size() == 1) return {{hull[0].x}, {hull[0].y}, {0.0}};
  ConvexCurve curve;
  for (std::size_t i = 0; i + 1 < hull.size(); ++i) {
    curve.corner.push_back(hull[i].x);
    curve.value.push_back(hull[i].y);
    curve.slope.push_back((hull[i + 1].y - hull[i].y) / (hull[i + 1].x - hull[i].x));
  }
  return curve;
}

ConvexCurve stretched(ConvexCurve curve, double factor) {
  for (double& x : curve.corner) x *= factor;
  for (double& s : curve.slope) s /= factor;
  return curve;
}

}  // namespace thermoe
