// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>

#include "core/sensor_lag.h"
#include "core/units.h"

namespace thermoe {

/// During which a GPU worked at one rate; it rested around it.
struct LoadBurst {
  Seconds from{};
  Seconds to{};
};

/// A reading of power that was new when it was read.
struct PowerSample {
  Seconds read_at{};
  Watts power{};
};

struct SensorLagFit {
  SensorLag lag{};
  Watts low{};   ///< power at rest
  Watts high{};  ///< power in bursts
  /// Root mean square of what the fit leaves, as a share of high - low.
  double residual = 0.0;
};

/// Finds the delay and the window with which a sensor that shows the mean over [t - delay - window,
/// t - delay] follows bursts of work, by least squares over a grid (delays to 0.5 s, windows to
/// 1 s). Nothing where the sensor changes by less than 20 W or follows no such step.
std::optional<SensorLagFit> fit_sensor_lag(std::span<const LoadBurst> bursts,
                                           std::span<const PowerSample> samples);

}  // namespace thermoe
