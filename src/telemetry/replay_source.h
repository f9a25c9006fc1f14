// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/source.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {

/// Plays a recording back from its first row: at `t` after `start` it reads what the recording held
/// at `t` after its own start (the last row at or before it), and throws TelemetryError after the
/// last row. Where the file names no GPU, they are called "replay of <path>".
class ReplaySource final : public Source {
 public:
  /// Requires a snapshot at least.
  ReplaySource(TelemetryTrace trace, Seconds start);

  std::string_view name() const override { return name_; }

  /// From the first row to the last.
  Seconds length() const { return trace_.snapshots.back().at - trace_.snapshots.front().at; }
  /// Whether any of it was recorded from simulated hardware.
  bool simulated() const;

 private:
  Snapshot poll(Seconds now) override;

  /// The snapshots whose GPUs and whose host sensors are shown with one's own time: GPUs and host
  /// sensors may have been recorded at different times, and those that have no row keep what they
  /// said.
  struct Shown {
    std::size_t gpus = 0;
    std::size_t host = 0;
  };

  std::string name_;
  TelemetryTrace trace_;
  std::vector<Shown> shown_;  // by snapshot
  bool named_ = false;        // some GPU is
  Seconds start_;
};

}  // namespace thermoe
