// SPDX-License-Identifier: Apache-2.0
#include "control/power_residual.h"

#include <algorithm>
#include <cmath>

namespace thermoe {
namespace {

constexpr double square(double x) { return x * x; }

constexpr double kPrior = square(40.0);  // variance, W^2: a table that was not calibrated
constexpr double kWalk = square(8.0);    // variance that a slot adds: tenants come and go
constexpr double kInstant = square(45.0), kLeastInstant = square(25.0);
constexpr double kAverage = square(8.0), kLeastAverage = square(3.0);
constexpr double kMemory = 50.0;   // readings that a noise is learned over
constexpr double kBegin = 10.0;    // readings that its first guess is worth
constexpr double kSurprise = 4.0;  // of the expected variance: a tenant is no noise
constexpr double kNoisiest = square(200.0);

}  // namespace

PowerResidual::PowerResidual()
    : instant_{.variance = kInstant, .least = kLeastInstant},
      average_{.variance = kAverage, .least = kLeastAverage} {
  // One unknown offset for all of the past: no walk was seen yet.
  for (Row& row : covariance_) row.fill(kPrior);
}

Watts PowerResidual::instant_noise() const { return Watts(std::sqrt(instant_.variance)); }

// eq. (22)
void PowerResidual::next_slot() {
  for (std::size_t i = kSlots - 1; i > 0; --i) {
    value_[i] = value_[i - 1];
    for (std::size_t j = kSlots - 1; j > 0; --j) covariance_[i][j] = covariance_[i - 1][j - 1];
  }
  for (std::size_t j = 1; j < kSlots; ++j)
    covariance_[0][j] = covariance_[j][0] = covariance_[1][j];
  // Without readings nothing gets less sure than the prior.
  covariance_[0][0] = covariance_[1][1] + std::clamp(kPrior - covariance_[1][1], 0.0, kWalk);
}

void PowerResidual::advance(Seconds now) {
  if (!std::isfinite(now.value)) return;
  if (!newest_end_) newest_end_ = now;
  // Ticks that jitter by some milliseconds are a slot each.
  const double slots = std::round((now - *newest_end_) / kSlot);
  if (slots < 1.0) return;
  *newest_end_ += slots * kSlot;
  for (double i = 0.0; i < std::min(slots, static_cast<double>(2 * kSlots)); i += 1.0) next_slot();
}

// What lies before the oldest slot counts as there, and what is newer than the newest as that.
PowerResidual::Row PowerResidual::shares(const TimeWindow& shown) const {
  Row shares{};
  const auto slot_of = [this](Seconds at) { return (*newest_end_ - at) / kSlot; };
  const double oldest = static_cast<double>(kSlots);
  const double to = std::clamp(slot_of(shown.to), 0.0, oldest - 1e-3);
  const double from = std::clamp(slot_of(shown.from), to + 1e-3, oldest);
  for (std::size_t i = 0; i < kSlots; ++i) {
    const auto begin = static_cast<double>(i);
    const double shared = std::min(from, begin + 1.0) - std::max(to, begin);
    shares[i] = std::max(shared, 0.0) / (from - to);
  }
  return shares;
}

// eq. (23) to (25)
void PowerResidual::learn(Noise& noise, Watts residual, const TimeWindow& shown) {
  if (!newest_end_ || !std::isfinite((residual.value + shown.from.value) + shown.to.value)) return;
  const Row share = shares(shown);
  Row with{};  // covariance of each slot with what the reading shows
  double expected = 0.0, unsure = 0.0;
  for (std::size_t i = 0; i < kSlots; ++i) {
    for (std::size_t j = 0; j < kSlots; ++j) with[i] += covariance_[i][j] * share[j];
    expected += share[i] * value_[i];
    unsure += share[i] * with[i];
  }
  const double error = residual.value - expected;
  const double variance = unsure + noise.variance;
  for (std::size_t i = 0; i < kSlots; ++i) {
    value_[i] += with[i] / variance * error;
    for (std::size_t j = 0; j < kSlots; ++j) covariance_[i][j] -= with[i] * with[j] / variance;
  }
  noise.readings = std::min(noise.readings + 1.0, kMemory - kBegin);
  const double seen = std::min(square(error), kSurprise * variance) - unsure;
  noise.variance += (seen - noise.variance) / (noise.readings + kBegin);
  noise.variance = std::clamp(noise.variance, noise.least, kNoisiest);
}

void PowerResidual::learn_instant(Watts residual, const TimeWindow& shown) {
  learn(instant_, residual, shown);
}

void PowerResidual::learn_average(Watts residual, const TimeWindow& shown) {
  learn(average_, residual, shown);
}

}  // namespace thermoe
