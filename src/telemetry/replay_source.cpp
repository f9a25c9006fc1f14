// SPDX-License-Identifier: Apache-2.0
#include "telemetry/replay_source.h"

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace thermoe {

ReplaySource::ReplaySource(TelemetryTrace trace, Seconds start)
    : name_("replay of " + trace.path), trace_(std::move(trace)), start_(start) {
  THERMOE_EXPECT(!trace_.snapshots.empty(), "{}: no snapshot", name_);
  Shown shown;
  for (std::size_t i = 0; i < trace_.snapshots.size(); ++i) {
    if (!trace_.snapshots[i].gpus.empty()) shown.gpus = i;
    if (!trace_.snapshots[i].host.empty()) shown.host = i;
    named_ = named_ || std::ranges::any_of(trace_.snapshots[i].gpus,
                                           [](const GpuReading& gpu) { return !gpu.name.empty(); });
    shown_.push_back(shown);
  }
}

Snapshot ReplaySource::poll(Seconds now) {
  const std::vector<Snapshot>& recorded = trace_.snapshots;
  // A thread may have read the clock a little earlier than whoever said `start`.
  const Seconds t = recorded.front().at + std::max(now - start_, Seconds(0));
  if (t > recorded.back().at) {
    throw TelemetryError(fmt::format("{}: the recording ended after {} s", name_, length().value));
  }
  const auto next = std::ranges::upper_bound(recorded, t, {}, &Snapshot::at);
  const auto i = static_cast<std::size_t>(next - recorded.begin()) - 1;
  Snapshot snapshot = recorded[i];
  snapshot.gpus = recorded[shown_[i].gpus].gpus;
  snapshot.host = recorded[shown_[i].host].host;
  snapshot.problems = trace_.problems;
  if (!named_) {
    for (GpuReading& gpu : snapshot.gpus) gpu.name = name_;
  }
  return snapshot;
}

bool ReplaySource::simulated() const {
  return std::ranges::any_of(trace_.snapshots, &Snapshot::simulated);
}

}  // namespace thermoe
