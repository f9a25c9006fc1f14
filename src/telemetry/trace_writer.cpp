// SPDX-License-Identifier: Apache-2.0
#include "telemetry/trace_writer.h"

#include <fmt/format.h>

#include <optional>
#include <span>

#include "core/csv_cells.h"
#include "core/terminal_text.h"
#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

template <class R>
void add_sensors(std::string& line, std::span<const TraceColumn<R>> columns, const R* reading) {
  for (const auto& column : columns) {
    line += ',';
    if (reading == nullptr) continue;
    const auto number = column.value(*reading);
    if (number && column.holds(*number)) line += to_text(*number);  // never what replay refuses
  }
}

/// A driver's name may hold anything, and a recording may go to a terminal.
std::string name_cell(std::string_view name) { return csv_cell(printable(name, true)); }

std::string row_start(const Snapshot& snapshot, std::string_view utc) {
  return fmt::format("{},{},{}", snapshot.at.value, csv_cell(utc), snapshot.simulated ? 1 : 0);
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
  for (const GpuReading& gpu : snapshot.gpus) {
    text += fmt::format("{},{},{},{}", row_start(snapshot, utc), gpu.index, name_cell(gpu.name),
                        name_cell(gpu.uuid));
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
