// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

#include "core/snapshot.h"

namespace thermoe {

/// The header line of a recording (telemetry_trace.h gives the format), with its line break.
std::string trace_header();

/// A poll as lines of that recording: one a GPU, then one a host sensor; absent readings are empty
/// cells, and names are printable (terminal_text.h). `utc` is the time of day of the poll, free
/// text for people and other programs' logs.
std::string trace_rows(const Snapshot& snapshot, std::string_view utc);

}  // namespace thermoe
