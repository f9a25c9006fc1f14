// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "measure/energy_totals.h"
#include "measure/run_measurement.h"

namespace thermoe {

/// What is said of one run as a whole: absent where it is not known.
struct RunFigures {
  EnergyTotals energy{};
  std::optional<double> units{};
  std::optional<double> gpu_joules_per_unit{};
  std::optional<double> joules_per_unit{};  ///< of all that was measured
  std::optional<double> units_per_second{};
  std::optional<Joules> gpu_above_idle{};  ///< where idle was measured before
  std::optional<Joules> above_idle{};
};
RunFigures run_figures(const RunMeasurement& run, const std::optional<WindowMeasurement>& idle);

/// Of several runs: absent as soon as one of them lacks the figure.
struct Spread {
  double median = 0.0;
  double min = 0.0;
  double max = 0.0;
};
std::optional<Spread> spread(std::vector<std::optional<double>> values);

}  // namespace thermoe
