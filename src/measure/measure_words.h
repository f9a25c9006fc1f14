// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "measure/measure_request.h"
#include "measure/run_measurement.h"

namespace thermoe {

/// The outcome for people: a table of devices, or of spreads where there were several runs, and
/// what must be known to read it. Plain ASCII beside what devices are called.
std::string measure_words(const MeasureRequest& request, const MeasureOutcome& outcome);

}  // namespace thermoe
