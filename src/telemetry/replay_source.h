// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "telemetry/source.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {

/// Plays a recording back: at `t` after construction it reads what the recording's last row at or
/// before `t` holds (all absent before the first row), and throws TelemetryError after the last
/// row.
class ReplaySource final : public Source {
 public:
  /// Reads the whole file (telemetry_trace.h gives the format). Throws FormatError.
  ReplaySource(const std::string& path, const Clock& clock);

  Snapshot read() override;
  std::string_view name() const override { return name_; }

 private:
  std::string name_;
  std::vector<TraceRow> rows_;
  const Clock& clock_;
  Seconds start_;
};

}  // namespace thermoe
