// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "monitor/monitor_options.h"
#include "monitor/monitor_view.h"
#include "telemetry/gpu_system_monitor.h"

namespace thermoe {

/// A source under a monitor of its own: a driver that hangs must not keep the host's sensors from
/// being read.
struct Feed {
  std::string label{};               ///< "NVML"
  std::optional<Seconds> ends_at{};  ///< a recording's end
  bool simulated = false;
  bool optional = false;  ///< looked for unasked: its absence is no matter
  std::unique_ptr<GpuSystemMonitor> monitor{};
  Seconds taken_until{-1.0};  ///< `fresh_snapshots` has given those up to here
};

/// The feeds that were asked for, started. Throws UsageError or FormatError (a missing recording or
/// plant).
std::vector<Feed> start_feeds(const MonitorRequest& request, const Clock& clock, Seconds period);

/// How the feed does at `now`; a poll counts as silent after `patience`.
FeedView feed_view(const Feed& feed, Seconds now, Seconds patience);

/// Snapshots that ended before `now` and were not given before, oldest first.
std::vector<Snapshot> fresh_snapshots(Feed& feed, Seconds now);

}  // namespace thermoe
