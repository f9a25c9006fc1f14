// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

/// How to make two files of one.
std::string split_remedy(std::int64_t line) {
  return fmt::format(
      "two recordings in one file? Split it: head -n {} FILE > FIRST; tail -n +{} "
      "FILE > SECOND (which needs the header, too)",
      line - 1, line);
}

}  // namespace

void refuse_joined_files(const CsvReader& csv) {
  if (!csv.repeats_header()) return;
  throw FormatError(csv.path(), fmt::format("line {}", csv.line()),
                    fmt::format("is the header again: two recordings in one file. Split it: head "
                                "-n {} FILE > FIRST; tail -n +{} FILE > SECOND",
                                csv.line() - 1, csv.line()));
}

void TraceBuilder::refuse_time(const std::string& problem) const {
  throw FormatError(csv_.path(), fmt::format("line {}, column {}", csv_.line(), kTraceTime),
                    problem);
}

Snapshot& TraceBuilder::at(Seconds time) {
  if (!snapshots_.empty() && time < snapshots_.back().at) {
    refuse_time(fmt::format("time falls from {} to {}: {}", snapshots_.back().at.value, time.value,
                            split_remedy(csv_.line())));
  }
  if (snapshots_.empty() || time > snapshots_.back().at) snapshots_.push_back({.at = time});
  return snapshots_.back();
}

GpuReading& TraceBuilder::add_gpu(unsigned index) {
  auto& gpus = snapshots_.back().gpus;
  const auto next = std::ranges::lower_bound(gpus, index, {}, &GpuReading::index);
  if (next != gpus.end() && next->index == index) {
    refuse_time(fmt::format("{} does not come after the row before of GPU {} (times must grow)",
                            snapshots_.back().at.value, index));
  }
  GpuReading& gpu = *gpus.emplace(next);
  gpu.index = index;
  return gpu;
}

HostReading& TraceBuilder::add_host(std::string name) {
  auto& host = snapshots_.back().host;
  if (std::ranges::find(host, name, &HostReading::name) != host.end()) {
    refuse_time(fmt::format("{} does not come after the row before of {} (times must grow)",
                            snapshots_.back().at.value, name));
  }
  host.push_back({.name = std::move(name)});
  return host.back();
}

void TraceBuilder::leave_out(std::string_view column, const std::string& why) {
  LeftOut& left_out = left_out_[std::string(column)];
  if (left_out.count++ > 0) return;
  left_out.first = column.empty() ? fmt::format("line {}: {}", csv_.line(), why)
                                  : fmt::format("line {}, column {}: {}", csv_.line(), column, why);
}

TelemetryTrace TraceBuilder::finish(std::vector<std::string> remarks) {
  for (const auto& [column, left_out] : left_out_) {
    const std::int64_t more = left_out.count - 1;
    const std::string what = column.empty() ? "row" : "cell";
    remarks.push_back(left_out.first + fmt::format("; the {} is left out", what));
    if (more > 0) remarks.back() += fmt::format(", as {} more of its kind", more);
  }
  if (snapshots_.empty()) {
    throw FormatError(csv_.path(), "",
                      remarks.empty() ? "no rows after the header"
                                      : fmt::format("no row can be used: {}", remarks.front()));
  }
  return {.path = csv_.path(), .snapshots = std::move(snapshots_), .problems = std::move(remarks)};
}

}  // namespace thermoe
