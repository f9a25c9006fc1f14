// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "core/units.h"

namespace thermoe {

/// The duty at which a load adds a share of what lies between a GPU's idle power and its limit.
struct DutyCalibration {
  double duty = 0.0;
  Watts idle{};
  Watts limit{};
  Watts wanted{};  ///< to be added
  Watts added{};   ///< at that duty, measured once more at the end
};

/// How long power is measured: of the two figures that are told, idle and what is added, and of
/// each duty on the way.
struct CalibrationLengths {
  Seconds sure{3.0};
  Seconds probe{1.5};
};

/// Mean power of the GPU at a duty, once it has settled, over a stretch of time.
using PowerAtDuty = std::function<Watts(double duty, Seconds length)>;

/// Measures idle power, then some duties (added power is nearly linear in the duty: the first guess
/// and a secant or two find it), then the found one once more: less than 20 s with half a second to
/// settle each time. Throws UsageError naming --power-fraction where even duty 1 adds too little,
/// and what can be had. Requires `fraction` in (0, 1].
DutyCalibration calibrate_duty(double fraction, Watts limit, const PowerAtDuty& power,
                               const CalibrationLengths& lengths = {});

}  // namespace thermoe
