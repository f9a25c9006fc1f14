// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "core/units.h"

namespace thermoe {

/// Readings farther than this from an edge of the window do not speak for it.
inline constexpr Seconds kEdgeReach{2.0};

/// One sensor's samples in a window: the first and the last, each the nearest to its edge, and the
/// area between them by trapezoids. Keeps no samples, so that a window may last for days.
class SampleTrack {
 public:
  struct Sample {
    Seconds at{};
    double value = 0.0;
  };

  /// A window begins at `at`: with the newest sample so far, if that is near enough, or with the
  /// next one if that lies nearer and this is old.
  void open(Seconds at);
  /// Times grow. Before a window opens, only the newest sample is kept.
  void add(Seconds at, double value);

  std::optional<Sample> first() const { return first_; }
  std::optional<Sample> last() const { return first_ ? last_ : std::nullopt; }
  /// The newest sample, in the window or not.
  std::optional<Sample> newest() const { return last_; }
  /// Between first and last.
  Seconds covered() const { return first_ ? last_->at - first_->at : Seconds(0); }
  double area() const { return area_; }
  /// By time; the one sample's value if there is only one.
  std::optional<double> mean() const;
  std::optional<double> max() const { return max_; }
  Seconds longest_gap() const { return longest_gap_; }

 private:
  std::optional<Seconds> opened_{};
  std::optional<Sample> first_{};
  std::optional<Sample> last_{};
  double area_ = 0.0;
  std::optional<double> max_{};
  Seconds longest_gap_{};
};

}  // namespace thermoe
