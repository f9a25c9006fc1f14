// SPDX-License-Identifier: Apache-2.0
#include "telemetry/combined_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "core/errors.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

/// `snapshot` with its GPUs and sensors in their places and nothing said.
Snapshot silenced(Snapshot snapshot) {
  const auto silence = [](auto& reading, auto&) { reading = {}; };
  for (GpuReading& gpu : snapshot.gpus) for_each_reading(gpu, gpu, silence);
  for (HostReading& host : snapshot.host) for_each_host_reading(host, host, silence);
  snapshot.problems.clear();
  return snapshot;
}

template <class T>
void append(std::vector<T>& to, std::vector<T> from) {
  to.insert(to.end(), std::make_move_iterator(from.begin()), std::make_move_iterator(from.end()));
}

}  // namespace

CombinedSource::CombinedSource(std::vector<std::unique_ptr<Source>> parts) {
  THERMOE_EXPECT(!parts.empty(), "a combined source needs at least one part");
  for (std::unique_ptr<Source>& part : parts) {
    THERMOE_EXPECT(part != nullptr, "a part of a combined source is null");
    name_ += (name_.empty() ? "" : " + ") + std::string(part->name());
    parts_.push_back({.source = std::move(part)});
  }
}

Snapshot CombinedSource::read() {
  Snapshot all;
  std::vector<std::string> failures;
  for (Part& part : parts_) {
    Snapshot one;
    try {
      one = part.source->read();
      part.last = silenced(one);
    } catch (const TelemetryError& e) {
      one = part.last;
      failures.push_back(fmt::format("{}: {}", part.source->name(), e.what()));
      one.problems.push_back(failures.back());
    }
    all.at = std::max(all.at, one.at);
    all.simulated = all.simulated || one.simulated;
    append(all.gpus, std::move(one.gpus));
    append(all.host, std::move(one.host));
    append(all.problems, std::move(one.problems));
  }
  if (failures.size() == parts_.size()) {
    throw TelemetryError(fmt::format("{}", fmt::join(failures, "; ")));
  }
  return all;
}

}  // namespace thermoe
