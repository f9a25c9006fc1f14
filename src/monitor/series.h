// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>

#include "core/units.h"

namespace thermoe {

/// The last minute of one number.
class Series {
 public:
  struct Sample {
    Seconds at{};
    double value = 0.0;
  };
  static constexpr Seconds kWindow{60.0};

  /// Times never fall; a sample that comes before the last one starts the series anew.
  void add(Seconds at, double value) {
    if (!samples_.empty() && at < samples_.back().at) samples_.clear();
    samples_.push_back({.at = at, .value = value});
    while (samples_.front().at < at - kWindow) samples_.pop_front();
  }
  void clear() { samples_.clear(); }

  /// Oldest first.
  const std::deque<Sample>& samples() const { return samples_; }

 private:
  std::deque<Sample> samples_{};
};

}  // namespace thermoe
