// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "core/units.h"
#include "profile/ops/op_traffic.h"

namespace thermoe {

/// An execution whose energy was measured.
struct EnergySample {
  Seconds latency{};
  OpTraffic traffic{};
  Joules energy{};  ///< above active idle, > 0
};

/// Energy above idle of an execution: static + bytes + FLOP,
///   E = static_power * latency + per_byte * bytes + per_flop * FLOP.
struct EnergyModel {
  Watts static_power{};
  Joules per_byte{};
  Joules per_flop{};
  /// What it leaves of the samples that it was fitted to, relative to each.
  double residual_rms = 0.0;
  double residual_max = 0.0;
  int samples = 0;

  Joules at(Seconds latency, const OpTraffic& traffic) const {
    return static_power * latency + per_byte * traffic.bytes + per_flop * traffic.flops;
  }
};

/// Fewer samples say too little of three coefficients and of what they leave.
inline constexpr int kFewestEnergySamples = 8;

/// Least squares of the relative error, all coefficients >= 0. Absent for fewer than
/// kFewestEnergySamples.
std::optional<EnergyModel> fit_energy(std::span<const EnergySample> samples);

}  // namespace thermoe
