// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "core/units.h"
#include "machine/simulated/thermal_response.h"

namespace thermoe {

/// A temperature, and the mean power since the sample before.
struct HeatSample {
  Seconds at{};  ///< from the start of its trace, ascending
  Watts power{};
  Celsius temperature{};
};
using HeatTrace = std::vector<HeatSample>;

struct PoleFit {
  ThermalParameters parameters{};
  double rms = 0.0;  ///< degrees, over the samples that it was fitted to
};

/// Least squares of ambient and resistances, none below 0, for poles of these time constants. Each
/// trace starts at its own first temperature, as `ThermalResponse` does with a start: settled at
/// `idle` but for the slowest pole. Nothing where the traces cannot tell the constants apart: too
/// short, or without a change of power.
std::optional<PoleFit> fit_poles(const std::vector<HeatTrace>& traces, Watts idle,
                                 const std::vector<Seconds>& time_constants);

}  // namespace thermoe
