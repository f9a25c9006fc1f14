// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace thermoe {

/// How many values fell between which bounds, since the beginning.
class Histogram {
 public:
  /// Ascending upper bounds, each its bucket's own; one bucket more takes what is above.
  explicit Histogram(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}

  /// So many of this value. One that is no number is none.
  void add(double value, double count = 1.0) {
    if (!std::isfinite(value)) return;
    const auto bound = std::lower_bound(bounds_.begin(), bounds_.end(), value);
    counts_[static_cast<std::size_t>(bound - bounds_.begin())] += count;
    sum_ += value * count;
  }

  const std::vector<double>& bounds() const { return bounds_; }
  const std::vector<double>& counts() const { return counts_; }  ///< a bucket each
  double sum() const { return sum_; }

 private:
  std::vector<double> bounds_;
  std::vector<double> counts_;
  double sum_ = 0.0;
};

}  // namespace thermoe
