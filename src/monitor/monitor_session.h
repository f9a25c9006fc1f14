// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/clock.h"
#include "monitor/feeds.h"
#include "monitor/monitor_options.h"
#include "monitor/monitor_view.h"
#include "monitor/run_tail.h"

namespace thermoe {

/// A snapshot and the source that it came from.
struct LabelledSnapshot {
  std::string source{};
  Snapshot snapshot{};
};

/// Gathers what the feeds and the run say into what a frame shows. One thread's.
class MonitorSession {
 public:
  /// `clock` must outlive the session. Starts the feeds. Throws UsageError or FormatError.
  MonitorSession(const MonitorRequest& request, const Clock& clock, Seconds period);

  /// Takes what is new since the last call: snapshots in the order of their times, and the run's
  /// rows. Returns the snapshots, with the selected GPUs alone. Throws UsageError if --gpu names
  /// one that is not there.
  std::vector<LabelledSnapshot> update();

  /// As of the last update.
  MonitorView view() const;

  /// Whether every source has said something, or given up on it for now: what --once waits for.
  bool settled() const;
  /// Whether any source or the run has ever said something.
  bool answered() const;
  /// Whether a source hangs in a poll; takes up to a fifth of a second to be sure.
  bool hangs() const;
  /// When a recording is over.
  std::optional<Seconds> ends_at() const;
  Seconds now() const { return now_; }
  /// Time of day at the last update.
  WallTime wall_time() const { return wall_time_; }

 private:
  struct Known {
    Snapshot snapshot{};
    int count = 0;                       // snapshots taken, up to 2
    std::size_t listed = 0;              // GPUs, those that are not selected included
    std::string amiss{};                 // with the selection
    std::map<unsigned, Series> power{};  // by the GPU's index
    std::map<unsigned, Series> temperature{};
  };

  void take(const Feed& feed, Known& known, Snapshot& snapshot) const;
  std::string selection_words() const;
  void show(MonitorView& view, const Feed& feed, const Known& known) const;

  const Clock& clock_;
  const GpuSelection selection_;
  Seconds patience_;
  std::string title_{};
  std::optional<RunTail> run_{};
  bool run_telemetry_ = false;
  Seconds now_{};
  WallTime wall_time_{};
  std::vector<Known> known_{};  // by feed
  std::vector<Feed> feeds_{};
};

}  // namespace thermoe
