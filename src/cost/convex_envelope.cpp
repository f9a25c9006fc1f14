// SPDX-License-Identifier: Apache-2.0
#include "cost/convex_envelope.h"

#include "core/errors.h"

namespace thermoe {
namespace {

/// Whether b lies on or above the chord from a to c.
bool above_chord(const CurvePoint& a, const CurvePoint& b, const CurvePoint& c) {
  return (b.y - a.y) * (c.x - a.x) >= (c.y - a.y) * (b.x - a.x);
}

}  // namespace

std::vector<CurvePoint> lower_convex_envelope(std::span<const CurvePoint> points) {
  std::vector<CurvePoint> hull;
  for (const CurvePoint& p : points) {
    THERMOE_EXPECT(hull.empty() || p.x > hull.back().x, "envelope: x={} is not ascending", p.x);
    while (hull.size() >= 2 && above_chord(hull[hull.size() - 2], hull.back(), p)) hull.pop_back();
    hull.push_back(p);
  }
  return hull;
}

EnvelopeDistance distance_from_envelope(std::span<const CurvePoint> points) {
  const std::vector<CurvePoint> hull = lower_convex_envelope(points);
  EnvelopeDistance worst;
  std::size_t corner = 0;
  for (const CurvePoint& p : points) {
    while (corner + 1 < hull.size() && hull[corner + 1].x <= p.x) ++corner;
    if (hull[corner].x == p.x || p.y <= 0.0) continue;
    const CurvePoint& a = hull[corner];
    const CurvePoint& b = hull[corner + 1];
    const double below = a.y + (b.y - a.y) * (p.x - a.x) / (b.x - a.x);
    const double relative = (p.y - below) / p.y;
    if (relative > worst.relative) worst = {.relative = relative, .at_x = p.x};
  }
  return worst;
}

}  // namespace thermoe
