// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>

#include "core/units.h"

namespace thermoe {

/// First-order low-pass filter. Starts as the running mean of what it has seen, so that the first
/// sample is no guess from zero, and turns into the exponential mean once that is the slower one.
class LowPass {
 public:
  explicit LowPass(Seconds time_constant, double initial = 0.0)
      : time_constant_(time_constant), value_(initial) {}

  double update(double sample, Seconds dt) {
    ++samples_;
    const double follow = 1.0 - std::exp(-dt.value / time_constant_.value);
    value_ += std::max(follow, 1.0 / samples_) * (sample - value_);
    return value_;
  }

  double value() const { return value_; }

 private:
  Seconds time_constant_;
  double value_;
  double samples_ = 0.0;
};

}  // namespace thermoe
