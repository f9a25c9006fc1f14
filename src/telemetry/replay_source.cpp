// SPDX-License-Identifier: Apache-2.0
#include "telemetry/replay_source.h"

#include <algorithm>

#include "core/errors.h"

namespace thermoe {

ReplaySource::ReplaySource(const std::string& path, const Clock& clock)
    : name_("replay of " + path),
      rows_(read_telemetry_trace(path)),
      clock_(clock),
      start_(clock.now()) {}

Snapshot ReplaySource::read() {
  const Seconds t = clock_.now() - start_;
  const auto next = std::ranges::upper_bound(rows_, t, {}, &TraceRow::at);
  if (next == rows_.end() && t > rows_.back().at) {
    throw TelemetryError(
        fmt::format("{}: the recording ended at {} s", name_, rows_.back().at.value));
  }
  GpuReading gpu;
  if (next != rows_.begin()) gpu = std::prev(next)->gpu;
  gpu.name = name_;
  return {.at = clock_.now(), .simulated = false, .gpus = {std::move(gpu)}};
}

}  // namespace thermoe
