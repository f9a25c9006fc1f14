// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "core/units.h"

namespace thermoe {

/// dT/dt = (ambient + R * P - T) / tau. The controller's first-order model; the simulated GPU has
/// its own, of higher order, fitted to a measured trace.
struct FirstOrderThermal {
  Celsius ambient{25.0};
  KelvinPerWatt resistance{0.05};
  Seconds time_constant{20.0};
  bool operator==(const FirstOrderThermal&) const = default;

  Celsius steady(Watts power) const { return ambient + resistance * power; }
  /// Immediate rise of so many joules.
  Celsius heat(Joules energy) const { return resistance * (energy / time_constant); }
  /// Temperature after `dt` at constant power (exact, stable for any dt).
  Celsius after(Celsius from, Watts power, Seconds dt) const {
    const double keep = std::exp(-dt.value / time_constant.value);
    return steady(power) + keep * (from - steady(power));
  }
};

}  // namespace thermoe
