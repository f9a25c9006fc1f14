// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/units.h"
#include "profile/record/op_record.h"

namespace thermoe {

/// A part of the device that warms by itself: tau x' = R P - x.
struct ThermalPart {
  KelvinPerWatt resistance{};
  Seconds time_constant{};

  /// Degrees that a joule adds at once.
  double kelvin_per_joule() const { return resistance.value / time_constant.value; }
};

/// T = ambient + sum of its parts, settled at the first readings' power when the step began.
struct ThermalFit {
  Celsius ambient{};
  std::vector<ThermalPart> parts{};  ///< fastest first
  Celsius residual_rms{};
};

/// Fits so many parts, 1 or 2, to a step response: time constants over a grid, the rest by least
/// squares, resistances >= 0. Absent where the temperature moved by less than three degrees, which
/// whole degrees do not resolve, or the readings are too few.
std::optional<ThermalFit> fit_thermal(std::span<const ThermalSample> samples, int parts);

}  // namespace thermoe
