// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "profile/parse_options.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// Reads what `ncu --csv` prints, the raw and the details page, with whatever the program printed
/// around it. Durations are those of single passes under ncu's control of clocks and caches: they
/// compare kernels, and are no latencies. Throws FormatError naming line and column for what is no
/// such text, is cut off, or has another locale's numbers.
ParsedProfile parse_ncu_csv(const std::string& path, const ParseOptions& options);

}  // namespace thermoe
