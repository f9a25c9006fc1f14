// SPDX-License-Identifier: Apache-2.0
#include "telemetry/one_gpu_source.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "core/errors.h"
#include "telemetry/gpu_reading_fields.h"

namespace thermoe {
namespace {

/// Problems name their GPU by index ("GPU 1 said ...") or by index and UUID; all that name no other
/// GPU are kept.
bool is_of_another(const std::string& problem, const GpuReading& other) {
  const std::string named = fmt::format("GPU {}", other.index);
  return problem.starts_with(named + " ") || problem.starts_with(named + ":");
}

}  // namespace

OneGpuSource::OneGpuSource(std::unique_ptr<Source> source, std::string uuid)
    : source_(std::move(source)), uuid_(std::move(uuid)) {
  THERMOE_EXPECT(source_ != nullptr, "OneGpuSource needs a source");
  THERMOE_EXPECT(!uuid_.empty(), "OneGpuSource needs the GPU's UUID");
}

Snapshot OneGpuSource::poll(Seconds now) {
  Snapshot snapshot = source_->read(now);
  const auto found = std::ranges::find(snapshot.gpus, uuid_, &GpuReading::uuid);
  if (found == snapshot.gpus.end()) {
    throw TelemetryError(fmt::format("{} lists no GPU {}{}{}", source_->name(), uuid_,
                                     snapshot.problems.empty() ? "" : ": ",
                                     fmt::join(snapshot.problems, "; ")));
  }
  std::swap(*found, snapshot.gpus.front());
  std::erase_if(snapshot.problems, [&](const std::string& problem) {
    return std::any_of(snapshot.gpus.begin() + 1, snapshot.gpus.end(),
                       [&](const auto& other) { return is_of_another(problem, other); });
  });
  snapshot.gpus.resize(1);
  snapshot.host.clear();
  if (!says_something(snapshot.gpus.front())) {
    throw TelemetryError(fmt::format("GPU {} says nothing any more{}{}", uuid_,
                                     snapshot.problems.empty() ? "" : ": ",
                                     fmt::join(snapshot.problems, "; ")));
  }
  return snapshot;
}

}  // namespace thermoe
