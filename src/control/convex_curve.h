// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "cost/convex_envelope.h"

namespace thermoe {

/// A convex piecewise linear cost of one expert's load, continued with its first and last slope.
struct ConvexCurve {
  std::vector<double> corner{};  ///< ascending loads at which a segment begins
  std::vector<double> value{};   ///< at the corners
  std::vector<double> slope{};   ///< to the right of each, nondecreasing

  double at(double load) const;
  /// Number of the segment that says what this load costs.
  std::size_t segment(double load) const;
  bool operator==(const ConvexCurve&) const = default;
};

/// cost = slope * load.
ConvexCurve linear_curve(double slope);
/// The lower convex envelope of the points; constant if there is one only. Requires ascending loads
/// and costs, all finite and >= 0.
ConvexCurve convex_curve(std::span<const CurvePoint> points);
/// The same curve of a load that is counted `factor` times as high.
ConvexCurve stretched(ConvexCurve curve, double factor);

}  // namespace thermoe
