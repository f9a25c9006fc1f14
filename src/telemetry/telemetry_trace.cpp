// SPDX-License-Identifier: Apache-2.0
#include "telemetry/telemetry_trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <utility>

#include "core/errors.h"

namespace thermoe {
namespace {

constexpr std::string_view kTime = "t_s";

/// A cell and where it stands, for messages.
struct Cell {
  std::string_view text;
  std::string_view column;
  const std::string& path;
  std::size_t line;

  [[noreturn]] void refuse(const std::string& problem) const {
    throw FormatError(path, fmt::format("line {}, column {}", line, column), problem);
  }
  /// Throws FormatError unless the text is a finite number within [low, high].
  double number(double low, double high) const {
    double value = 0.0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
      refuse(
          fmt::format("'{}' is not a finite number (leave the cell empty if the sensor was silent)",
                      text.substr(0, 40)));
    }
    if (value < low || value > high) {
      refuse(fmt::format("{} lies outside [{}, {}]", text, low, high));
    }
    return value;
  }
};

struct Sensor {
  std::string_view column;
  void (*store)(GpuReading&, const Cell&);
};

// The one list of known columns.
constexpr Sensor kSensors[] = {
    {"power_w",
     [](GpuReading& r, const Cell& c) { r.power_average.value = Watts(c.number(0, 1e5)); }},
    {"power_instant_w",
     [](GpuReading& r, const Cell& c) { r.power_instant.value = Watts(c.number(0, 1e5)); }},
    {"temp_gpu_c",
     [](GpuReading& r, const Cell& c) { r.temperature.value = Celsius(c.number(-100, 300)); }},
    {"temp_mem_c",
     [](GpuReading& r, const Cell& c) {
       r.memory_temperature.value = Celsius(c.number(-100, 300));
     }},
    {"energy_j", [](GpuReading& r, const Cell& c) { r.energy.value = Joules(c.number(0, 1e15)); }},
    {"util_gpu_pct",
     [](GpuReading& r, const Cell& c) { r.gpu_utilisation.value = c.number(0, 100) / 100.0; }},
    {"util_mem_pct",
     [](GpuReading& r, const Cell& c) { r.memory_utilisation.value = c.number(0, 100) / 100.0; }},
    {"sm_clock_mhz",
     [](GpuReading& r, const Cell& c) { r.sm_clock.value = Megahertz(c.number(0, 1e5)); }},
    {"throttle_reasons",
     [](GpuReading& r, const Cell& c) {
       const double bits = c.number(0, 9007199254740992.0);
       if (bits != std::floor(bits)) c.refuse(fmt::format("{} is not a whole number", c.text));
       r.throttle_reasons.value = static_cast<std::uint64_t>(bits);
     }},
};

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const auto at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::vector<std::string_view> split_lines(std::string_view text) {
  auto lines = split(text, '\n');
  if (lines.back().empty()) lines.pop_back();
  for (auto& line : lines) {
    if (line.ends_with('\r')) line.remove_suffix(1);
  }
  return lines;
}

/// Throws FormatError for a header that lacks the time or every sensor, or names a column twice.
void check_header(const std::vector<std::string_view>& columns, const std::string& path) {
  for (auto it = columns.begin(); it != columns.end(); ++it) {
    if (std::find(columns.begin(), it, *it) != it) {
      throw FormatError(path, "line 1", fmt::format("column '{}' is there twice", *it));
    }
  }
  if (std::ranges::find(columns, kTime) == columns.end()) {
    throw FormatError(path, "line 1", "no column t_s (a header line naming the columns is needed)");
  }
  const auto known = [&](const Sensor& s) {
    return std::ranges::find(columns, s.column) != columns.end();
  };
  if (std::ranges::none_of(kSensors, known)) {
    std::vector<std::string_view> names;
    for (const Sensor& s : kSensors) names.push_back(s.column);
    throw FormatError(path, "line 1",
                      fmt::format("no sensor's column (known: {})", fmt::join(names, ", ")));
  }
}

TraceRow parse_row(const std::vector<std::string_view>& columns,
                   const std::vector<std::string_view>& cells, const std::string& path,
                   std::size_t line) {
  if (cells.size() != columns.size()) {
    throw FormatError(path, fmt::format("line {}, column {}", line, cells.size()),
                      fmt::format("the row ends after {} cells where the header names {}",
                                  cells.size(), columns.size()));
  }
  TraceRow row;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const Cell cell{.text = cells[i], .column = columns[i], .path = path, .line = line};
    if (columns[i] == kTime) row.at = Seconds(cell.number(-1e12, 1e12));
    if (cells[i].empty()) continue;
    const auto sensor = std::ranges::find(kSensors, columns[i], &Sensor::column);
    if (sensor != std::end(kSensors)) sensor->store(row.gpu, cell);
  }
  return row;
}

}  // namespace

std::vector<TraceRow> parse_telemetry_trace(std::string_view text, const std::string& path) {
  const auto lines = split_lines(text);
  if (lines.empty()) throw FormatError(path, "", "empty file (a CSV header line is needed)");
  const auto columns = split(lines.front(), ',');
  check_header(columns, path);
  std::vector<TraceRow> rows;
  for (std::size_t i = 1; i < lines.size(); ++i) {
    rows.push_back(parse_row(columns, split(lines[i], ','), path, i + 1));
    if (rows.size() > 1 && rows.back().at <= rows[rows.size() - 2].at) {
      throw FormatError(path, fmt::format("line {}, column t_s", i + 1),
                        fmt::format("{} does not come after the row before (times must grow)",
                                    rows.back().at.value));
    }
  }
  if (rows.empty()) throw FormatError(path, "", "no rows after the header");
  return rows;
}

std::vector<TraceRow> read_telemetry_trace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FormatError(path, "", "cannot be opened (does it exist, may it be read?)");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) throw FormatError(path, "", "cannot be read");
  return parse_telemetry_trace(text, path);
}

}  // namespace thermoe
