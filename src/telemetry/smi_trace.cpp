// SPDX-License-Identifier: Apache-2.0
#include "telemetry/smi_trace.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <optional>
#include <utility>

#include "core/errors.h"
#include "telemetry/trace_builder.h"

namespace thermoe {
namespace {

constexpr const char* kCommand =
    "nvidia-smi --query-gpu=timestamp,index,uuid,name,temperature.gpu,power.draw.average,"
    "power.draw.instant,utilization.gpu,clocks.sm --format=csv -lms 100";

/// nvidia-smi's name of a sensor, and the column of ours that is the same. Where two names mean
/// one, the first that the file has counts.
struct SmiField {
  std::string_view smi;
  std::string_view ours;
};
constexpr SmiField kFields[] = {
    {"power.draw.average", "power_w"},
    {"power.draw", "power_w"},
    {"power.draw.instant", "power_instant_w"},
    {"enforced.power.limit", "power_limit_w"},
    {"power.limit", "power_limit_w"},
    {"temperature.gpu", "temp_gpu_c"},
    {"temperature.memory", "temp_mem_c"},
    {"utilization.gpu", "util_gpu_pct"},
    {"utilization.memory", "util_mem_pct"},
    {"clocks.current.sm", "sm_clock_mhz"},
    {"clocks.sm", "sm_clock_mhz"},
    {"clocks.current.memory", "memory_clock_mhz"},
    {"clocks.mem", "memory_clock_mhz"},
    {"clocks_event_reasons.active", "throttle_reasons"},
    {"clocks_throttle_reasons.active", "throttle_reasons"},
};

/// "power.draw" of "power.draw [W]".
std::string_view without_unit(std::string_view name) {
  return without_blanks_around(name.substr(0, name.find('[')));
}

std::optional<std::size_t> find(const CsvReader& csv, std::string_view name) {
  const auto& columns = csv.columns();
  const auto found = std::ranges::find_if(
      columns, [&](const std::string& column) { return without_unit(column) == name; });
  if (found == columns.end()) return std::nullopt;
  return static_cast<std::size_t>(found - columns.begin());
}

/// Seconds since 1970 of "2026/01/02 10:00:00.123", taken as UTC: only differences count.
std::optional<Seconds> parse_timestamp(std::string_view text) {
  const std::string copy(text);
  int year = 0;
  unsigned month = 0, day = 0, hour = 0, minute = 0;
  double second = 0.0;
  int read = 0;
  if (std::sscanf(copy.c_str(), "%4d/%2u/%2u %2u:%2u:%lf%n", &year, &month, &day, &hour, &minute,
                  &second, &read) != 6 ||
      static_cast<std::size_t>(read) != copy.size()) {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month),
                                         std::chrono::day(day)};
  if (!date.ok() || hour > 23 || minute > 59 || !(second >= 0.0 && second < 61.0)) {
    return std::nullopt;
  }
  const auto days = std::chrono::sys_days(date).time_since_epoch().count();
  return Seconds(86400.0 * static_cast<double>(days) + 3600.0 * hour + 60.0 * minute + second);
}

/// The number of "71.31 W"; a hexadecimal one as decimal digits.
std::string number_of(std::string_view cell) {
  if (cell.starts_with("0x")) {
    std::uint64_t bits = 0;
    const auto [end, error] = std::from_chars(cell.data() + 2, cell.data() + cell.size(), bits, 16);
    if (error == std::errc() && end == cell.data() + cell.size()) return std::to_string(bits);
  }
  const std::size_t blank = cell.find(' ');
  const std::string_view unit = blank == std::string_view::npos ? "" : cell.substr(blank + 1);
  const bool has_unit = unit == "W" || unit == "%" || unit == "MHz" || unit == "C";
  return std::string(has_unit ? cell.substr(0, blank) : cell);
}

/// nvidia-smi's word for a reading that this GPU does not have.
bool is_absent(std::string_view cell) {
  return cell.empty() || cell == "[N/A]" || cell == "N/A" || cell == "[Not Supported]";
}

class SmiReader {
 public:
  explicit SmiReader(CsvReader& csv) : csv_(csv), builder_(csv) {
    if (!find(csv, "timestamp")) {
      throw FormatError(csv.path(), csv.header_place(),
                        fmt::format("nvidia-smi's CSV without the column timestamp cannot be "
                                    "replayed; record it with {}",
                                    kCommand));
    }
    for (const char* name : {"index", "uuid", "gpu_uuid", "pci.bus_id", "gpu_bus_id"}) {
      if (!identity_) identity_ = find(csv, name);
    }
    for (const SmiField& field : kFields) add_sensor(field);
    if (sensors_.empty()) {
      throw FormatError(csv.path(), csv.header_place(),
                        fmt::format("no sensor that can be replayed; record with {}", kCommand));
    }
  }

  TelemetryTrace read() {
    while (csv_.next_row()) {
      if (csv_.row_problem().empty()) {
        refuse_joined_files(csv_);
        take_row();
      } else {
        builder_.leave_out("", csv_.row_problem());
      }
    }
    return builder_.finish({});
  }

 private:
  struct Sensor {
    std::size_t place = 0;
    const TraceColumn<GpuReading>* column = nullptr;
  };

  void add_sensor(const SmiField& field) {
    const auto place = find(csv_, field.smi);
    const auto column =
        std::ranges::find(gpu_trace_columns(), field.ours, &TraceColumn<GpuReading>::name);
    const bool taken = std::ranges::find(sensors_, &*column, &Sensor::column) != sensors_.end();
    if (place && !taken) sensors_.push_back({.place = *place, .column = &*column});
  }

  /// nvidia-smi's index, or the order in which the GPUs appear.
  std::optional<unsigned> index_of_row() {
    if (!identity_) return 0U;
    const std::string_view cell = csv_.cell(*identity_);
    if (csv_.columns()[*identity_] == "index") {
      unsigned index = 0;
      const auto [end, error] = std::from_chars(cell.data(), cell.data() + cell.size(), index);
      if (error == std::errc() && end == cell.data() + cell.size()) return index;
      builder_.leave_out("", fmt::format("column index: '{}' is no whole number", cell));
      return std::nullopt;
    }
    const auto known = std::ranges::find(seen_, cell);
    if (known == seen_.end()) {
      seen_.emplace_back(cell);
      return static_cast<unsigned>(seen_.size() - 1);
    }
    return static_cast<unsigned>(known - seen_.begin());
  }

  void take_row() {
    const std::string_view stamp = csv_.cell(*find(csv_, "timestamp"));
    const auto time = parse_timestamp(stamp);
    if (!time) {
      return builder_.leave_out("", fmt::format("column timestamp: '{}' is no time", stamp));
    }
    const auto index = index_of_row();
    if (!index) return;
    // The rows of a poll differ by milliseconds: they are one snapshot, at the time of the first.
    const bool same_poll = last_index_ && *index > *last_index_ && *time >= last_time_;
    if (last_index_ && !same_poll && *time == poll_) {
      return builder_.leave_out("",
                                "another row of the same time; with several GPUs, record the "
                                "column index, too");
    }
    last_index_ = index;
    last_time_ = *time;
    if (!same_poll) poll_ = *time;
    builder_.at(poll_);
    GpuReading& gpu = builder_.add_gpu(*index);
    const auto text = [&](const char* name, const char* otherwise) {
      auto place = find(csv_, name);
      if (!place) place = find(csv_, otherwise);
      return std::string(place ? csv_.cell(*place) : std::string_view());
    };
    gpu.name = text("name", "gpu_name");
    gpu.uuid = text("uuid", "gpu_uuid");
    for (const Sensor& sensor : sensors_) {
      const std::string_view cell = csv_.cell(sensor.place);
      if (is_absent(cell)) continue;
      builder_.store(*sensor.column, gpu, csv_.columns()[sensor.place], number_of(cell));
    }
  }

  CsvReader& csv_;
  TraceBuilder builder_;
  std::optional<std::size_t> identity_{};
  std::vector<std::string> seen_{};  // identities, where there is no index
  std::vector<Sensor> sensors_{};
  std::optional<unsigned> last_index_{};
  Seconds last_time_{};
  Seconds poll_{};
};

/// Whether the first line holds values where names of columns belong.
bool holds_values(const CsvReader& csv) {
  return std::ranges::none_of(csv.columns(), [](const std::string& cell) {
    const bool value = cell.empty() || cell.front() == '[' || cell.front() == '-' ||
                       std::isdigit(static_cast<unsigned char>(cell.front())) != 0;
    return !value && !cell.starts_with("GPU-") && !cell.starts_with("NVIDIA");
  });
}

}  // namespace

bool is_smi_csv(const CsvReader& csv) {
  if (csv.find(kTraceTime)) return false;
  return holds_values(csv) || std::ranges::any_of(kFields, [&](const SmiField& field) {
           return find(csv, field.smi).has_value();
         });
}

TelemetryTrace read_smi_csv(CsvReader& csv) {
  if (holds_values(csv)) {
    throw FormatError(csv.path(), csv.header_place(),
                      fmt::format("holds values, no names of columns; with nvidia-smi leave out "
                                  "noheader: {}",
                                  kCommand));
  }
  return SmiReader(csv).read();
}

}  // namespace thermoe
