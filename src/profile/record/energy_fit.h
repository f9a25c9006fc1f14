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

/// An anchor of one table: where it lies, and what was measured there over what the model says.
struct EnergyAnchor {
  double tokens = 1.0;
  double active_experts = 1.0;  ///< 1 where an op has none
  double ratio = 1.0;
};

/// What the model leaves at a point, as its table's anchors show it: the geometric mean of their
/// ratios, weighted by 1/(d^2 + 1/4)^2 at d doublings of tokens and active experts (inverse
/// distance weighting, D. Shepard 1968). 1 without anchors.
double neighbouring_ratio(const EnergyAnchor& at, std::span<const EnergyAnchor> anchors);
/// Root mean square of what is left where each anchor is predicted by the others; 0 of fewer than
/// two.
double left_by_neighbours(std::span<const EnergyAnchor> anchors);

/// Fewer samples say too little of three coefficients and of what they leave.
inline constexpr int kFewestEnergySamples = 8;

/// Least squares of the relative error, all coefficients >= 0. Absent for fewer than
/// kFewestEnergySamples.
std::optional<EnergyModel> fit_energy(std::span<const EnergySample> samples);

}  // namespace thermoe
