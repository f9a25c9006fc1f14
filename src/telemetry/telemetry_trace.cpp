// SPDX-License-Identifier: Apache-2.0
#include "telemetry/telemetry_trace.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <iterator>
#include <optional>
#include <utility>

#include "core/errors.h"
#include "telemetry/csv_cells.h"
#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

constexpr double kMostGpus = 1024;

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const auto end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    if (lines.back().ends_with('\r')) lines.back().remove_suffix(1);
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

/// The header's columns, and where the known ones stand.
class Header {
 public:
  /// Throws FormatError for a header that lacks the time or every sensor, or names a column twice.
  Header(std::string_view line, const std::string& path) {
    auto cells = split_csv_line(line);
    if (!cells) throw FormatError(path, "line 1", "a quote is not closed");
    names_ = std::move(*cells);
    for (auto it = names_.begin(); it != names_.end(); ++it) {
      if (std::find(names_.begin(), it, *it) != it) {
        throw FormatError(path, "line 1", fmt::format("column '{}' is there twice", *it));
      }
    }
    if (!place(kTraceTime)) {
      throw FormatError(path, "line 1",
                        "no column t_s (a header line naming the columns is needed)");
    }
    check_sensors(path);
  }

  std::size_t size() const { return names_.size(); }
  std::optional<std::size_t> place(std::string_view name) const {
    const auto found = std::ranges::find(names_, name);
    if (found == names_.end()) return std::nullopt;
    return static_cast<std::size_t>(found - names_.begin());
  }

 private:
  void check_sensors(const std::string& path) const {
    std::vector<std::string_view> known;
    for (const auto& column : gpu_trace_columns()) known.push_back(column.name);
    for (const auto& column : host_trace_columns()) known.push_back(column.name);
    if (std::ranges::none_of(known, [&](auto name) { return place(name).has_value(); })) {
      throw FormatError(path, "line 1",
                        fmt::format("no sensor's column (known: {})", fmt::join(known, ", ")));
    }
  }

  std::vector<std::string> names_{};
};

/// One line's cells, by column name, with errors that say where they stand.
class Row {
 public:
  Row(const Header& header, std::string_view text, const std::string& path, std::size_t line)
      : header_(header), path_(path), line_(line) {
    auto cells = split_csv_line(text);
    if (!cells) throw FormatError(path, fmt::format("line {}", line), "a quote is not closed");
    if (cells->size() != header.size()) {
      throw FormatError(path, fmt::format("line {}, column {}", line, cells->size()),
                        fmt::format("the row ends after {} cells where the header names {}",
                                    cells->size(), header.size()));
    }
    cells_ = std::move(*cells);
  }

  /// Empty for a missing column.
  std::string_view text(std::string_view column) const {
    const auto place = header_.place(column);
    return place ? std::string_view(cells_[*place]) : std::string_view();
  }

  /// A finite number within [low, high]; absent if the cell is empty or the column missing.
  std::optional<double> number(std::string_view column, double low, double high,
                               bool whole = false) const {
    const std::string_view cell = text(column);
    if (cell.empty()) return std::nullopt;
    double value = 0.0;
    const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), value);
    if (error != std::errc() || end != cell.data() + cell.size() || !std::isfinite(value)) {
      refuse(column,
             fmt::format("'{}' is not a finite number (leave the cell empty if the sensor was "
                         "silent)",
                         cell.substr(0, 40)));
    }
    if (value < low || value > high) {
      refuse(column, fmt::format("{} lies outside [{}, {}]", cell, low, high));
    }
    if (whole && value != std::floor(value)) {
      refuse(column, fmt::format("{} is not a whole number", cell));
    }
    return value;
  }

  template <class R>
  void store(std::span<const TraceColumn<R>> columns, R& reading) const {
    for (const auto& column : columns) {
      const auto value = number(column.name, column.range.low, column.range.high, column.whole);
      if (!value) continue;
      if (column.whole) {
        column.store(reading, static_cast<std::uint64_t>(*value));
      } else {
        column.store(reading, *value);
      }
    }
  }

  bool has(std::string_view column) const { return header_.place(column).has_value(); }

  [[noreturn]] void refuse(std::string_view column, const std::string& problem) const {
    throw FormatError(path_, fmt::format("line {}, column {}", line_, column), problem);
  }

 private:
  const Header& header_;
  const std::string& path_;
  std::size_t line_;
  std::vector<std::string> cells_{};
};

/// Gathers rows of one time into snapshots.
class TraceReader {
 public:
  void add(const Row& row) {
    const auto at = row.number(kTraceTime, -1e12, 1e12);
    if (!at) {
      row.refuse(kTraceTime, "'' is not a finite number (every row has a time)");
    }
    begin(Seconds(*at), row);
    if (row.number(kTraceSimulated, 0, 1, true).value_or(0.0) != 0.0) {
      snapshots_.back().simulated = true;
    }
    if (const std::string_view host = row.text(kTraceHost); !host.empty()) {
      if (!row.text(kTraceGpu).empty()) {
        row.refuse(kTraceHost, "a row belongs to a GPU or to a host sensor, not to both");
      }
      add_host(row, std::string(host));
    } else {
      add_gpu(row);
    }
  }

  std::vector<Snapshot> finish() {
    for (std::size_t i = 1; i < snapshots_.size(); ++i) {
      if (snapshots_[i].gpus.empty()) snapshots_[i].gpus = snapshots_[i - 1].gpus;
      if (snapshots_[i].host.empty()) snapshots_[i].host = snapshots_[i - 1].host;
    }
    return std::move(snapshots_);
  }

 private:
  void begin(Seconds at, const Row& row) {
    if (!snapshots_.empty() && at < snapshots_.back().at) stands(row, at);
    if (!snapshots_.empty() && at == snapshots_.back().at) return;
    snapshots_.push_back({.at = at});
  }

  void add_gpu(const Row& row) {
    std::size_t place = 0;
    if (row.has(kTraceGpu)) {
      const auto gpu = row.number(kTraceGpu, 0, kMostGpus - 1, true);
      if (!gpu) row.refuse(kTraceGpu, "is empty (the GPU's place, or a name in column host)");
      place = static_cast<std::size_t>(*gpu);
    }
    Snapshot& snapshot = snapshots_.back();
    const auto index = static_cast<unsigned>(place);
    const auto next = std::ranges::lower_bound(snapshot.gpus, index, {}, &GpuReading::index);
    if (next != snapshot.gpus.end() && next->index == index) stands(row, snapshot.at);
    GpuReading& gpu = *snapshot.gpus.emplace(next);
    gpu.index = index;
    gpu.name = row.text(kTraceName);
    gpu.uuid = row.text(kTraceUuid);
    row.store(gpu_trace_columns(), gpu);
  }

  void add_host(const Row& row, std::string name) {
    auto& host = snapshots_.back().host;
    if (std::ranges::find(host, name, &HostReading::name) != host.end()) {
      stands(row, snapshots_.back().at);
    }
    host.push_back({.name = std::move(name)});
    row.store(host_trace_columns(), host.back());
  }

  [[noreturn]] static void stands(const Row& row, Seconds at) {
    row.refuse(kTraceTime, fmt::format("{} does not come after the row before of the same device "
                                       "(times must grow)",
                                       at.value));
  }

  std::vector<Snapshot> snapshots_{};
};

}  // namespace

std::vector<Snapshot> parse_telemetry_trace(std::string_view text, const std::string& path) {
  auto lines = split_lines(text);
  if (lines.empty()) throw FormatError(path, "", "empty file (a CSV header line is needed)");
  const Header header(lines.front(), path);
  if (lines.size() > 1 && !text.ends_with('\n')) {  // torn, when the recorder was killed
    const auto cells = split_csv_line(lines.back());
    if (!cells || cells->size() < header.size()) lines.pop_back();
  }
  TraceReader reader;
  for (std::size_t i = 1; i < lines.size(); ++i) reader.add(Row(header, lines[i], path, i + 1));
  auto snapshots = reader.finish();
  if (snapshots.empty()) throw FormatError(path, "", "no rows after the header");
  return snapshots;
}

std::vector<Snapshot> read_telemetry_trace(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw FormatError(path, "", "cannot be opened (does it exist, may it be read?)");
  const std::string text((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (file.bad()) throw FormatError(path, "", "cannot be read");
  return parse_telemetry_trace(text, path);
}

}  // namespace thermoe
