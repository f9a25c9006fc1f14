// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "telemetry/source.h"

namespace thermoe {

/// Plays a recording back from its first row: at `t` after `start` it reads what the recording held
/// at `t` after its own start (the last row at or before it), and throws TelemetryError after the
/// last row. A GPU without a name in the file is called "replay of <path>".
class ReplaySource final : public Source {
 public:
  /// Reads the whole file (telemetry_trace.h gives the format). Throws FormatError.
  ReplaySource(const std::string& path, Seconds start);

  std::string_view name() const override { return name_; }

  /// From the first row to the last.
  Seconds length() const { return recording_.back().at - recording_.front().at; }
  /// Whether any of it was recorded from simulated hardware.
  bool simulated() const;

 private:
  Snapshot poll(Seconds now) override;
  std::string name_;
  std::vector<Snapshot> recording_;  // never empty
  Seconds start_;
};

}  // namespace thermoe
