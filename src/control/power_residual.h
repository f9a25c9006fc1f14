// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <optional>

#include "core/units.h"

namespace thermoe {

/// The stretch of time that a reading is the mean over.
struct TimeWindow {
  Seconds from{}, to{};
};

/// By how much a machine draws more than its model says: a Kalman filter of a random walk, known at
/// the last kSlots tenths of a second, since readings show the past and some of them a whole second
/// of it (docs/theory.md section 5, eq. (22) to (25)). Two kinds of readings teach it, either alone
/// or both: the instant power, which a paced load makes noisy as the sensor is blind between its
/// windows, and the second's average, which is sure and late.
///
/// Work and memory are constant; readings that are not finite teach nothing.
class PowerResidual {
 public:
  static constexpr std::size_t kSlots = 16;
  static constexpr Seconds kSlot{0.1};

  PowerResidual();

  /// Time goes on to `now`: what was learned grows old.
  void advance(Seconds now);
  /// Measured - modelled power, both the mean over `shown`, which ends no later than `now`.
  void learn_instant(Watts residual, const TimeWindow& shown);
  void learn_average(Watts residual, const TimeWindow& shown);

  /// Of the newest slot, and so of the next: a random walk is expected to stay.
  Watts value() const { return Watts(value_[0]); }
  /// Standard deviation of the instant reading, as learned.
  Watts instant_noise() const;

 private:
  using Row = std::array<double, kSlots>;
  /// Variance of a kind of reading, learned from how far readings fell from what was expected.
  struct Noise {
    double variance = 0.0, least = 0.0;
    double readings = 0.0;
  };

  void next_slot();
  Row shares(const TimeWindow& shown) const;
  void learn(Noise& noise, Watts residual, const TimeWindow& shown);

  Row value_{};                         ///< newest slot first
  std::array<Row, kSlots> covariance_;  ///< of their errors
  std::optional<Seconds> newest_end_{};
  Noise instant_, average_;
};

}  // namespace thermoe
