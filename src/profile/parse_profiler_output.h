// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "profile/parse_options.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// Reads a profiler's output into records per op: an nsys SQLite export, ncu's CSV or a trace of
/// torch.profiler, told apart by their first bytes and not by their names. Throws FormatError, with
/// the command that makes one of them where it is another kind of report.
ParsedProfile parse_profiler_output(const std::string& path, const ParseOptions& options = {});

}  // namespace thermoe
