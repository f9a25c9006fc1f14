// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/units.h"

namespace thermoe {

enum class EnergyBasis {
  kCounter,          ///< difference of the device's own counter
  kIntegratedPower,  ///< trapezoids over power samples
};

/// Joules of one device in a window, or why there are none. Nothing is stretched to the window's
/// edges: how far the readings lie from them is told instead.
struct EnergyFigure {
  std::optional<Joules> joules{};
  EnergyBasis basis = EnergyBasis::kCounter;
  std::string absent_because{};  ///< where `joules` is absent
  Seconds start_edge{};          ///< first reading minus the window's start: negative is before it
  Seconds end_edge{};            ///< last reading minus the window's end: positive is after it
  Seconds covered{};             ///< from the first reading to the last
  Seconds longest_gap{};         ///< between two readings next to each other
};

/// What one GPU or one sensor domain of the host did in a window.
struct DeviceMeasurement {
  std::string name{};
  std::string uuid{};
  unsigned index = 0;  ///< NVML's, of a GPU
  EnergyFigure energy{};
  bool silent = false;                ///< it never told energy or power
  std::optional<Watts> mean_power{};  ///< energy / covered
  std::optional<Watts> peak_power{};  ///< highest sample
  std::optional<Celsius> mean_temperature{};
  std::optional<Celsius> max_temperature{};
};

/// A window in time and what every device did in it.
struct WindowMeasurement {
  bool simulated = false;
  Seconds duration{};
  std::vector<DeviceMeasurement> gpus{};  ///< by index
  std::vector<DeviceMeasurement> host{};
};

}  // namespace thermoe
