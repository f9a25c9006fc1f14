// SPDX-License-Identifier: Apache-2.0
#include "core/cost_curve.h"

#include <algorithm>
#include <cmath>

#include "core/errors.h"

namespace thermoe {

std::string_view to_string(Basis basis) {
  switch (basis) {
    case Basis::kMeasured:
      return "measured";
    case Basis::kInterpolated:
      return "interpolated";
    case Basis::kExtrapolated:
      return "extrapolated";
  }
  return "unknown";
}

Basis weaker(Basis a, Basis b) { return std::max(a, b); }

CostCurve::CostCurve(std::vector<Point> points) : points_(std::move(points)) {
  THERMOE_EXPECT(!points_.empty(), "a cost curve needs at least one point");
  double before = 0.0;
  for (const Point& p : points_) {
    THERMOE_EXPECT(p.tokens >= 1.0 && p.tokens > before,
                   "cost curve: tokens={} must be >= 1 and increasing", p.tokens);
    for (const double v : {p.cost.latency.value, p.cost.energy.value, p.cost.heat.value}) {
      THERMOE_EXPECT(std::isfinite(v) && v >= 0.0, "cost curve at tokens={}: {} is not a cost",
                     p.tokens, v);
    }
    before = p.tokens;
  }
}

std::size_t CostCurve::segment(double tokens) const {
  const auto above = std::upper_bound(points_.begin(), points_.end(), tokens,
                                      [](double n, const Point& p) { return n < p.tokens; });
  const auto index = static_cast<std::size_t>(above - points_.begin());
  const std::size_t last = points_.size() < 2 ? 0 : points_.size() - 2;
  return std::min(index == 0 ? 0 : index - 1, last);
}

Cost CostCurve::slope(std::size_t segment) const {
  if (points_.size() < 2) return {};
  const Point& a = points_[segment];
  const Point& b = points_[segment + 1];
  return 1.0 / (b.tokens - a.tokens) * (b.cost + -1.0 * a.cost);
}

Cost CostCurve::at(double tokens) const {
  if (tokens <= 0.0 || points_.empty()) return {};
  const double n = std::max(tokens, 1.0);
  const std::size_t s = segment(n);
  const Cost c = points_[s].cost + (n - points_[s].tokens) * slope(s);
  // Below the first profiled load the first slope continues, but never below zero.
  return {std::max(c.latency, Seconds(0.0)), std::max(c.energy, Joules(0.0)),
          std::max(c.heat, Celsius(0.0))};
}

Cost CostCurve::marginal(double tokens) const {
  return tokens < 1.0 ? activation() : slope(segment(tokens));
}

}  // namespace thermoe
