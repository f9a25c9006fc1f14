// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "core/units.h"

namespace thermoe {

/// One first-order share of a thermal response.
struct ThermalPole {
  KelvinPerWatt resistance{};
  Seconds time_constant{};
};

/// Temperature as a sum of first-order responses to power: T = ambient + sum_k x_k with
/// tau_k x_k' = r_k P - x_k.
struct ThermalParameters {
  Celsius ambient{};
  std::vector<ThermalPole> poles{};

  /// Temperature after infinite time at constant power.
  Celsius steady(Watts power) const;
};

/// The state of such a response; exact for power that is constant during each step.
class ThermalResponse {
 public:
  /// Starts settled at `power`; with a `start`, at that temperature, of whose difference the
  /// slowest pole has all. Requires a pole for that, finite r >= 0 and tau > 0.
  ThermalResponse(ThermalParameters parameters, Watts power,
                  std::optional<Celsius> start = std::nullopt);

  void advance(Watts power, Seconds dt);
  Celsius temperature() const;

 private:
  ThermalParameters parameters_;
  std::vector<Celsius> rise_;  // x_k
};

}  // namespace thermoe
