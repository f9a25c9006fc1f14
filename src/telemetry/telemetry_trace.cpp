// SPDX-License-Identifier: Apache-2.0
#include "telemetry/telemetry_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>
#include <sstream>
#include <utility>

#include "core/csv_reader.h"
#include "core/errors.h"
#include "telemetry/smi_trace.h"
#include "telemetry/trace_builder.h"
#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

constexpr double kMostGpus = 65536;
constexpr double kLongest = 1e12;  // seconds

constexpr std::array kOwnColumns{kTraceTime, kTraceUtc,  kTraceSimulated, kTraceGpu,
                                 kTraceName, kTraceUuid, kTraceHost};

/// Every column that a recording may have.
std::vector<std::string_view> known_columns() {
  std::vector<std::string_view> known(kOwnColumns.begin(), kOwnColumns.end());
  for (const auto& column : gpu_trace_columns()) known.push_back(column.name);
  for (const auto& column : host_trace_columns()) known.push_back(column.name);
  return known;
}

/// Columns that are ignored and were probably meant to be one of ours.
std::vector<std::string> near_misses(const CsvReader& csv) {
  std::vector<std::string> said;
  const auto known = known_columns();
  for (const std::string& name : csv.columns()) {
    if (std::ranges::find(known, name) != known.end()) continue;
    const auto near = std::ranges::find_if(known, [&](std::string_view column) {
      return !csv.find(column) && is_near_miss(name, column);
    });
    if (near == known.end()) continue;
    said.push_back(
        fmt::format("{}: column '{}' is ignored; is '{}' meant?", csv.header_place(), name, *near));
  }
  return said;
}

/// Throws FormatError for a header that lacks the time or every sensor, or names a column twice.
void check_header(const CsvReader& csv) {
  const auto& names = csv.columns();
  for (auto it = names.begin(); it != names.end(); ++it) {
    if (std::find(names.begin(), it, *it) != it) {
      throw FormatError(csv.path(), csv.header_place(),
                        fmt::format("column '{}' is there twice", *it));
    }
  }
  csv.need(kTraceTime);
  std::vector<std::string_view> sensors = known_columns();
  sensors.erase(sensors.begin(), sensors.begin() + kOwnColumns.size());
  if (std::ranges::any_of(sensors, [&](auto name) { return csv.find(name).has_value(); })) return;
  const auto near = near_misses(csv);
  throw FormatError(csv.path(), csv.header_place(),
                    fmt::format("no sensor's column (known: {}){}", fmt::join(sensors, ", "),
                                near.empty() ? "" : "; " + near.front()));
}

/// Reads rows of the format that telemetry_trace.h explains.
class TraceReader {
 public:
  explicit TraceReader(CsvReader& csv) : csv_(csv), builder_(csv) {
    check_header(csv);
    for (const auto& column : gpu_trace_columns()) gpu_places_.push_back(csv.find(column.name));
    for (const auto& column : host_trace_columns()) host_places_.push_back(csv.find(column.name));
  }

  TelemetryTrace read() {
    while (csv_.next_row()) {
      if (!csv_.row_problem().empty()) {
        builder_.leave_out("", csv_.row_problem());
        continue;
      }
      refuse_joined_files(csv_);
      take_row();
    }
    return builder_.finish(near_misses(csv_));
  }

 private:
  std::string_view text(std::optional<std::size_t> place) const {
    return place ? csv_.cell(*place) : std::string_view();
  }

  /// A number of a column that is no sensor's; without it the row belongs nowhere.
  std::optional<double> number(std::string_view column, std::string_view cell, PossibleRange range,
                               bool whole) {
    const ParsedNumber parsed = parse_number(cell, whole);
    if (!parsed.number) {
      leave_out_row(column, parsed.problem);
      return std::nullopt;
    }
    const double value = as_double(*parsed.number);
    if (value >= range.low && value <= range.high) return value;
    leave_out_row(column, fmt::format("{} lies outside [{}, {}]", cell, range.low, range.high));
    return std::nullopt;
  }

  void leave_out_row(std::string_view column, const std::string& why) {
    builder_.leave_out("", fmt::format("column {}: {}", column, why));
  }

  void take_row() {
    const auto at = number(kTraceTime, text(time_), {-kLongest, kLongest}, false);
    if (!at) return;
    const std::string_view host = text(host_);
    const std::string_view gpu = text(gpu_);
    if (!host.empty() && !gpu.empty()) {
      return leave_out_row(kTraceHost, "a row belongs to a GPU or to a host sensor, not to both");
    }
    if (!host.empty()) {
      begin(Seconds(*at));
      HostReading& reading = builder_.add_host(std::string(host));
      store(host_trace_columns(), host_places_, reading);
      return;
    }
    std::optional<double> index = 0.0;
    if (gpu_) index = number(kTraceGpu, gpu, {0, kMostGpus - 1}, true);
    if (!index) return;
    begin(Seconds(*at));
    GpuReading& reading = builder_.add_gpu(static_cast<unsigned>(*index));
    reading.name = text(name_);
    reading.uuid = text(uuid_);
    store(gpu_trace_columns(), gpu_places_, reading);
  }

  void begin(Seconds at) {
    Snapshot& snapshot = builder_.at(at);
    const std::string_view simulated = text(simulated_);
    if (simulated.empty() || simulated == "0") return;
    // Whatever else stands there: what may be simulated is never shown as measured.
    snapshot.simulated = true;
    if (simulated != "1") builder_.leave_out(kTraceSimulated, "must be 0 or 1; taken as 1");
  }

  template <class R>
  void store(std::span<const TraceColumn<R>> columns,
             const std::vector<std::optional<std::size_t>>& places, R& reading) {
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const std::string_view cell = text(places[c]);
      if (!cell.empty()) builder_.store(columns[c], reading, columns[c].name, cell);
    }
  }

  CsvReader& csv_;
  TraceBuilder builder_;
  std::vector<std::optional<std::size_t>> gpu_places_{};
  std::vector<std::optional<std::size_t>> host_places_{};
  std::optional<std::size_t> time_ = csv_.find(kTraceTime);
  std::optional<std::size_t> simulated_ = csv_.find(kTraceSimulated);
  std::optional<std::size_t> gpu_ = csv_.find(kTraceGpu);
  std::optional<std::size_t> name_ = csv_.find(kTraceName);
  std::optional<std::size_t> uuid_ = csv_.find(kTraceUuid);
  std::optional<std::size_t> host_ = csv_.find(kTraceHost);
};

/// Recordings of before the column `energy_gaps`: a counter that falls began anew.
void count_gaps(std::vector<Snapshot>& snapshots) {
  struct Counter {
    std::optional<Joules> last{};
    std::uint64_t gaps = 0;
  };
  std::map<unsigned, Counter> counters;
  for (Snapshot& snapshot : snapshots) {
    for (GpuReading& gpu : snapshot.gpus) {
      Counter& counter = counters[gpu.index];
      if (const auto& energy = gpu.energy.value) {
        if (counter.last && *energy < *counter.last) ++counter.gaps;
        counter.last = energy;
      }
      gpu.energy_gaps = counter.gaps;
    }
  }
}

TelemetryTrace read(CsvReader csv) {
  if (is_smi_csv(csv)) return read_smi_csv(csv);
  TelemetryTrace trace = TraceReader(csv).read();
  if (!csv.find("energy_gaps")) count_gaps(trace.snapshots);
  if (csv.torn()) trace.problems.push_back("the last line is torn, and left out");
  return trace;
}

}  // namespace

TelemetryTrace parse_telemetry_trace(std::string_view text, const std::string& path) {
  auto stream = std::make_unique<std::istringstream>(std::string(text));
  return read(CsvReader(path, std::move(stream), CsvReader::LastLine::kMayBeWhole));
}

TelemetryTrace read_telemetry_trace(const std::string& path) {
  return read(CsvReader(path, CsvReader::LastLine::kMayBeWhole));
}

}  // namespace thermoe
