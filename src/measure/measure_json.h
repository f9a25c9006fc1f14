// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "measure/measure_request.h"
#include "measure/run_measurement.h"

namespace thermoe {

/// The outcome as JSON with ML.ENERGY's and Zeus' names where they have one (docs/measure.md);
/// what is absent is null. Ends with a line break.
std::string measure_json(const MeasureRequest& request, const MeasureOutcome& outcome);

}  // namespace thermoe
