// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "report/summary.h"

namespace thermoe {

/// The run as a table for a terminal: header with units, a line a strategy, notes, and a footer
/// that says what is simulated. Ends with a line break.
std::string summary_table(const Summary& summary);

}  // namespace thermoe
