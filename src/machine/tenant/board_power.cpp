// SPDX-License-Identifier: Apache-2.0
#include "machine/tenant/board_power.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr Seconds kGlance{0.002};
constexpr Seconds kPatience{5.0};  // with a counter that does not move

}  // namespace

BoardPower::BoardPower(std::unique_ptr<Source> source, std::string uuid, const Clock& clock,
                       std::function<void(Seconds)> pause)
    : source_(std::move(source)), uuid_(std::move(uuid)), clock_(clock), pause_(std::move(pause)) {
  GpuReading reading;
  try {
    reading = read();
  } catch (const TelemetryError& error) {
    throw UsageError(fmt::format("the load's watts cannot be measured: {}", error.what()));
  }
  const char* lacking = !reading.energy.value        ? "energy counter"
                        : !reading.power_limit.value ? "power limit"
                                                     : nullptr;
  if (lacking != nullptr) {
    throw UsageError(fmt::format(
        "the load's watts cannot be measured: the driver does not tell the {} of {} ({}); "
        "`thermoe doctor` says why, or leave the watts open with --duty",
        lacking, reading.name, uuid_));
  }
  limit_ = *reading.power_limit.value;
}

GpuReading BoardPower::read() {
  const Snapshot snapshot = source_->read(clock_.now());
  const auto found = std::ranges::find(snapshot.gpus, uuid_, &GpuReading::uuid);
  if (found != snapshot.gpus.end()) return *found;
  throw TelemetryError(
      fmt::format("NVML lists no GPU {}, which CUDA uses; `thermoe doctor` says "
                  "which there are",
                  uuid_));
}

BoardPower::Mark BoardPower::mark() {
  const GpuReading first = read();
  const Seconds begin = clock_.now();
  while (clock_.now() - begin < kPatience) {
    const GpuReading now = read();
    if (!now.energy.value) {
      throw TelemetryError(fmt::format("{} ({}) no longer tells its energy", now.name, uuid_));
    }
    if (now.energy.value != first.energy.value) {
      return {.at = clock_.now(), .energy = *now.energy.value, .gaps = now.energy_gaps};
    }
    pause_(kGlance);
  }
  throw TelemetryError(fmt::format("the energy counter of {} ({}) has stood still for {:g} s",
                                   first.name, uuid_, kPatience.value));
}

Watts BoardPower::mean(const Mark& from, const Mark& to) {
  if (from.gaps != to.gaps) {
    throw TelemetryError("the GPU's energy counter began anew while it was measured");
  }
  return (to.energy - from.energy) / (to.at - from.at);
}

}  // namespace thermoe
