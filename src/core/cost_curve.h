// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string_view>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// Where a cost comes from: profiled at this very point, linear between two such points, or
/// continued beyond them.
enum class Basis { kMeasured, kInterpolated, kExtrapolated };
std::string_view to_string(Basis basis);
/// The weaker of two bases.
Basis weaker(Basis a, Basis b);

/// What one execution costs. Energy is above active idle, so that idle is never counted twice. Heat
/// is the immediate rise of the die in a first-order thermal model, energy * R / tau.
struct Cost {
  Seconds latency{};
  Joules energy{};
  Celsius heat{};

  Cost& operator+=(const Cost& o) {
    latency += o.latency, energy += o.energy, heat += o.heat;
    return *this;
  }
  friend Cost operator+(Cost a, const Cost& b) { return a += b; }
  friend Cost operator*(double s, const Cost& c) {
    return {s * c.latency, s * c.energy, s * c.heat};
  }
};

/// Cost of one expert as a function of its load n (tokens routed to it): 0 at n = 0, a jump to
/// `activation()` for the first token (its weights must be read), piecewise linear beyond,
/// continued with the last slope. A plain value: stages exchange it and know nothing of profiles.
class CostCurve {
 public:
  struct Point {
    double tokens = 1.0;
    Cost cost{};
  };

  CostCurve() = default;
  /// Requires at least one point, tokens strictly increasing from >= 1, finite costs >= 0.
  explicit CostCurve(std::vector<Point> points);

  /// Cost at load n; loads within (0, 1) cost as much as one token.
  Cost at(double tokens) const;
  /// Cost of one token more than n (right derivative for n >= 1, the activation cost below).
  Cost marginal(double tokens) const;
  /// a_e: what the first token costs.
  Cost activation() const { return at(1.0); }

  const std::vector<Point>& points() const { return points_; }

 private:
  std::size_t segment(double tokens) const;
  Cost slope(std::size_t segment) const;

  std::vector<Point> points_{};
};

}  // namespace thermoe
