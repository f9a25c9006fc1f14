// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "profile/parsed_profile.h"

namespace thermoe {

/// What of an event of a Chrome trace says something about kernels.
struct TraceEvent {
  std::string phase{};
  std::string category{};
  std::string name{};
  std::optional<std::int64_t> process{};  ///< a kernel's is its device
  std::optional<std::int64_t> thread{};
  std::optional<std::int64_t> start_ns{};
  std::optional<std::int64_t> duration_ns{};
  std::optional<std::int64_t> correlation{};
  std::optional<std::int64_t> device{};
  std::optional<std::int64_t> registers{};
  std::vector<std::int64_t> grid{};
  std::vector<std::int64_t> block{};
};

/// What a trace says beside its events.
struct TraceHeader {
  bool has_events = false;
  std::optional<std::int64_t> schema{};
  std::optional<std::int64_t> base_ns{};  ///< UTC of its time 0; absent: times are UTC
  std::vector<std::string> devices{};
};

/// Reads the trace and hands on each event, which is valid during the call, with its place. Throws
/// FormatError.
TraceHeader read_trace_events(const std::string& path,
                              const std::function<void(const TraceEvent&, std::int64_t)>& visit);

/// Microseconds as a trace writes them, 1697.525 or 1700000000000001.25, in ns: a double would lose
/// those of today's clocks. Absent where they do not fit.
std::optional<std::int64_t> trace_time(const std::string& text);

}  // namespace thermoe
