// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "measure/measure_request.h"
#include "measure/run_measurement.h"

namespace thermoe {

/// `thermoe measure`: measures what was asked for and says it; the exit code is the command's. On a
/// time line of its own (a recording or the simulation, without a command) it takes no time.
///
/// Throws UsageError and FormatError for what cannot be used, TelemetryError without any sensor of
/// energy or power (nothing is run then), WriteError where the JSON cannot be written.
int run_measure(const MeasureRequest& request);

}  // namespace thermoe
