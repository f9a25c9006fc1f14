// SPDX-License-Identifier: Apache-2.0
#include "telemetry/replay_source.h"

#include <algorithm>

#include "core/errors.h"
#include "telemetry/telemetry_trace.h"

namespace thermoe {

ReplaySource::ReplaySource(const std::string& path, Seconds start)
    : name_("replay of " + path), recording_(read_telemetry_trace(path)), start_(start) {}

Snapshot ReplaySource::poll(Seconds now) {
  // A thread may have read the clock a little earlier than whoever said `start`.
  const Seconds t = recording_.front().at + std::max(now - start_, Seconds(0));
  if (t > recording_.back().at) {
    throw TelemetryError(fmt::format("{}: the recording ended after {} s", name_, length().value));
  }
  const auto next = std::ranges::upper_bound(recording_, t, {}, &Snapshot::at);
  Snapshot snapshot = *std::prev(next);
  for (GpuReading& gpu : snapshot.gpus) {
    if (gpu.name.empty()) gpu.name = name_;
  }
  return snapshot;
}

bool ReplaySource::simulated() const {
  return std::ranges::any_of(recording_, &Snapshot::simulated);
}

}  // namespace thermoe
