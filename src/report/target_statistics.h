// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <deque>
#include <optional>
#include <span>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// Targets are judged by the mean of this time.
inline constexpr Seconds kTargetWindow{1.0};

/// Mean of the last `window` of a signal sampled once a tick; of all there is while that is less.
class MovingMean {
 public:
  /// Requires 0 < tick <= window.
  MovingMean(Seconds window, Seconds tick);
  /// Adds a tick's mean, or NaN where nobody knows it, and returns the mean of the window's known
  /// ones (NaN where there are none).
  double add(double value);

 private:
  std::size_t length_;
  std::deque<double> values_{};
};

/// A signal's moving mean, a value a tick; element i stands for the tick that ends at (i + 1) *
/// tick.
std::vector<double> moving_mean(std::span<const double> signal, Seconds window, Seconds tick);

/// Share of the ticks whose value exceeds `limit`. NaN does not count; absent
/// where nothing else is there.
std::optional<double> share_above(std::span<const double> signal, double limit);

/// Time from `start` to the first tick end from which `signal` stays within [low, high] for `hold`.
/// Absent if it never does before the signal ends.
std::optional<Seconds> settling_time(std::span<const double> signal, Seconds tick, double low,
                                     double high, Seconds start, Seconds hold);

/// A value and how often it occurred.
struct Weighted {
  double value = 0.0;
  double weight = 0.0;
};

/// Smallest value that at least the share `p` in (0, 1] of the weight does not exceed (nearest
/// rank). Absent without weight.
std::optional<double> percentile(std::vector<Weighted> values, double p);

}  // namespace thermoe
