// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace thermoe {

struct CurvePoint {
  double x = 0.0;
  double y = 0.0;
  bool operator==(const CurvePoint&) const = default;
};

/// Lower convex envelope: the largest convex function below the points, as its corners. Requires x
/// strictly ascending; the first and last points are always corners.
std::vector<CurvePoint> lower_convex_envelope(std::span<const CurvePoint> points);

/// How far a curve is from convex: the largest (y - envelope(x)) / y over its points (points at y
/// <= 0 count nothing), and where. Zero for a convex curve.
struct EnvelopeDistance {
  double relative = 0.0;
  double at_x = 0.0;
};
EnvelopeDistance distance_from_envelope(std::span<const CurvePoint> points);

}  // namespace thermoe
