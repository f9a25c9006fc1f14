// SPDX-License-Identifier: Apache-2.0
#include "telemetry/plausibility.h"

#include <fmt/format.h>

#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

constexpr Seconds kRemembered{60.0};

template <class R>
std::vector<std::string> reject(std::span<const TraceColumn<R>> columns, R& reading) {
  std::vector<std::string> impossible;
  for (const auto& column : columns) {
    const auto value = column.value(reading);
    if (!value || column.holds(*value)) continue;
    column.reject(reading);
    impossible.push_back(fmt::format("{} {}, which cannot be ({} to {})", column.name,
                                     to_text(*value), column.range.low, column.range.high));
  }
  return impossible;
}

}  // namespace

std::vector<std::string> reject_impossible(GpuReading& gpu) {
  return reject(gpu_trace_columns(), gpu);
}

std::vector<std::string> reject_impossible(HostReading& host) {
  return reject(host_trace_columns(), host);
}

void PlausibilityCheck::tell(const std::string& sensor, const std::vector<std::string>& impossible,
                             Seconds now) {
  for (const std::string& words : impossible) {
    Told& told = told_[fmt::format("{} {}", sensor, words.substr(0, words.find(' ')))];
    if (told.words.empty()) {
      told.words = fmt::format("{} said {}: such readings count as absent", sensor, words);
    }
    told.last = now;
  }
}

void PlausibilityCheck::apply(Snapshot& snapshot, Seconds now) {
  for (GpuReading& gpu : snapshot.gpus) {
    tell(fmt::format("GPU {}", gpu.index), reject_impossible(gpu), now);
  }
  for (HostReading& host : snapshot.host) tell(host.name, reject_impossible(host), now);
  std::erase_if(told_, [&](const auto& entry) { return now - entry.second.last > kRemembered; });
  for (const auto& [sensor, told] : told_) snapshot.problems.push_back(told.words);
}

}  // namespace thermoe
