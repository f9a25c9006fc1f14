// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_writer.h"

#include <fmt/format.h>

#include <cmath>
#include <optional>
#include <span>

#include "telemetry/csv_cells.h"
#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

// Twelve digits are more than any sensor has and hide binary rounding. A counter of joules keeps
// all fifteen that a double does: after two weeks of 700 W twelve would swallow millijoules.
void add_number(std::string& line, std::optional<double> number, bool counter) {
  line += ',';
  if (!number || !std::isfinite(*number)) return;
  line += counter ? fmt::format("{:.15g}", *number) : fmt::format("{:.12g}", *number);
}

template <class R>
void add_sensors(std::string& line, std::span<const TraceColumn<R>> columns, const R* reading) {
  for (const auto& column : columns) {
    add_number(line, reading != nullptr ? column.value(*reading) : std::nullopt,
               std::string_view(column.name).ends_with("energy_j"));
  }
}

std::string row_start(const Snapshot& snapshot, std::string_view utc) {
  return fmt::format("{:.12g},{},{}", snapshot.at.value, csv_cell(utc), snapshot.simulated ? 1 : 0);
}

}  // namespace

std::string trace_header() {
  std::string line = fmt::format("{},{},{},{},{},{}", kTraceTime, kTraceUtc, kTraceSimulated,
                                 kTraceGpu, kTraceName, kTraceUuid);
  for (const auto& column : gpu_trace_columns()) line += fmt::format(",{}", column.name);
  line += fmt::format(",{}", kTraceHost);
  for (const auto& column : host_trace_columns()) line += fmt::format(",{}", column.name);
  return line + "\n";
}

std::string trace_rows(const Snapshot& snapshot, std::string_view utc) {
  std::string text;
  for (std::size_t g = 0; g < snapshot.gpus.size(); ++g) {
    const GpuReading& gpu = snapshot.gpus[g];
    text += fmt::format("{},{},{},{}", row_start(snapshot, utc), g, csv_cell(gpu.name),
                        csv_cell(gpu.uuid));
    add_sensors(text, gpu_trace_columns(), &gpu);
    text += ',';  // no host sensor
    add_sensors<HostReading>(text, host_trace_columns(), nullptr);
    text += '\n';
  }
  for (const HostReading& host : snapshot.host) {
    text += row_start(snapshot, utc) + ",,,";  // no GPU, name, UUID
    add_sensors<GpuReading>(text, gpu_trace_columns(), nullptr);
    text += ',' + csv_cell(host.name);
    add_sensors(text, host_trace_columns(), &host);
    text += '\n';
  }
  return text;
}

}  // namespace thermoe
