// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "core/units.h"
#include "machine/calibration/calibration_record.h"

namespace thermoe {

/// What a step costs at one D. Energy is above the fitted idle.
struct CalibratedStep {
  int variant = 0;
  double active = 0.0;  ///< mean distinct experts a layer
  Seconds latency{};    ///< median on the device, at the experiment's period
  double spread = 0.0;  ///< (p90 - p10) / (2 * median)
  Joules energy{};
  double energy_spread = 0.0;  ///< relative half-range of its windows
  Watts power{};               ///< mean of the board, at the experiment's period
  int steps = 0;
};

struct CalibrationFit {
  /// Power with clocks up and no work: idle of P = idle + E(D) / spacing.
  Watts idle_active{};
  Watts idle_cold{};                    ///< of the rests
  std::vector<CalibratedStep> steps{};  ///< by variant, then active, both ascending
  /// Of all windows with work against P = idle + E(D) / spacing, in watts.
  Watts residual_rms{};
  Watts residual_max{};
};

/// Fits P = idle + E(D) / spacing to all windows with work by least squares, with one E for each
/// variant and D, which supposes nothing of E's form: idle follows from the same work at two
/// spacings. `period` is the experiment's: latencies and energies are those of windows at it, so
/// that power at this rate is what was measured. Throws Error where the windows cannot tell idle
/// from work, and where they give what cannot be.
CalibrationFit fit_calibration(std::span<const CalibrationLevel> levels, Seconds period);

}  // namespace thermoe
