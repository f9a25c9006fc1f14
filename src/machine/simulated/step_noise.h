// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <random>

#include "core/errors.h"

namespace thermoe {

/// How much longer than charged the steps of a tick take. Log-normal of mean 1: never negative, and
/// the mean step is the charged one.
class StepNoise {
 public:
  /// Requires a relative deviation within [0, 1]. The sequence is not that of sensors of this seed.
  StepNoise(double deviation, std::uint64_t seed)
      : deviation_(deviation), random_(seed + 0x5deece66dULL) {
    THERMOE_EXPECT(deviation >= 0.0 && deviation <= 1.0, "step noise {} must lie in [0, 1]",
                   deviation);
  }

  double drawn_stretch() {
    return deviation_ > 0.0
               ? std::exp(deviation_ * normal_(random_) - 0.5 * deviation_ * deviation_)
               : 1.0;
  }

 private:
  double deviation_;
  std::mt19937_64 random_;
  std::normal_distribution<double> normal_{0.0, 1.0};
};

}  // namespace thermoe
