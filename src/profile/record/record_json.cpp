// SPDX-License-Identifier: Apache-2.0
#include "profile/record/record_json.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "profile/ops/op_traffic.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMost = 1e15;
constexpr double kMostSeconds = 1e6;  // of a step response or of strain
constexpr double kMostWatts = 1e5;
constexpr double kMostMegahertz = 1e6;
constexpr double kLeastCelsius = -100, kMostCelsius = 300;
constexpr double kMostTokens = 1e9;
constexpr std::int64_t kMostNs = std::int64_t{1} << 60;

template <class Q>
void set(Json& object, const char* name, const std::optional<Q>& value) {
  if (value) object[name] = value->value;
}

void set_state(Json& object, const DeviceState& state) {
  set(object, "temperature_c", state.temperature);
  set(object, "sm_mhz", state.sm_clock);
  set(object, "memory_mhz", state.memory_clock);
}

DeviceState read_state(JsonObject& line) {
  DeviceState state;
  if (const auto c = line.optional_number("temperature_c", kLeastCelsius, kMostCelsius))
    state.temperature = Celsius(*c);
  if (const auto mhz = line.optional_number("sm_mhz", 0, kMostMegahertz)) {
    state.sm_clock = Megahertz(*mhz);
  }
  if (const auto mhz = line.optional_number("memory_mhz", 0, kMostMegahertz)) {
    state.memory_clock = Megahertz(*mhz);
  }
  return state;
}

Json kernel_json(const KernelRecord& kernel) {
  return {{"name", kernel.name.value_or("")}, {"count", kernel.count},
          {"total_ns", *kernel.total_ns},     {"min_ns", *kernel.min_ns},
          {"max_ns", *kernel.max_ns},         {"grid", *kernel.grid},
          {"block", *kernel.block},           {"registers", *kernel.registers}};
}

Extent read_extent(JsonObject& object, const char* name) {
  const nlohmann::json& sizes = object.array(name);
  Extent extent{};
  bool sound = sizes.size() == extent.size();
  for (std::size_t i = 0; sound && i < extent.size(); ++i) {
    sound = sizes[i].is_number_integer();
    if (sound) extent[i] = sizes[i].get<std::int64_t>();
  }
  if (!sound) throw FormatError(object.path(), object.key(name), "must be three whole numbers");
  return extent;
}

KernelRecord read_kernel(JsonObject object, const std::string& op) {
  KernelRecord kernel{.name = object.string("name"), .op = op};
  kernel.count = object.integer("count", 1, kMostNs);
  kernel.total_ns = object.integer("total_ns", 0, kMostNs);
  kernel.min_ns = object.integer("min_ns", 0, kMostNs);
  kernel.max_ns = object.integer("max_ns", 0, kMostNs);
  kernel.grid = read_extent(object, "grid");
  kernel.block = read_extent(object, "block");
  kernel.registers = object.integer("registers", 0, 1 << 20);
  object.finish();
  return kernel;
}

/// Whether it is a point as `profile_points` makes them, of which a cost table can have a row.
bool is_profiled(const OpPoint& point) {
  const OpKey& key = point.key;
  const bool layer = key.op.starts_with("moe_experts");
  const auto positive = [](int size) { return size >= 1; };
  return sizes_of(key.op) == key.shape.size() && std::ranges::all_of(key.shape, positive) &&
         positive(key.group_size.value_or(1)) && point.tokens >= 1.0 &&
         point.tokens <= kMostTokens && point.active_experts.has_value() == layer &&
         (!layer || *point.active_experts <= key.shape.front());
}

OpPoint read_point(JsonObject& line) {
  const std::string name = line.string("point");
  auto point = read_op_point(name);
  if (!point || !is_profiled(*point)) {
    throw FormatError(line.path(), line.key("point"),
                      fmt::format("is \"{}\", which names no op with shape, dtype and tokens that "
                                  "thermoe profile knows",
                                  name.substr(0, 100)));
  }
  return *std::move(point);
}

TimeRecord read_time(JsonObject& line) {
  TimeRecord record{.part = line.string("part"), .point = read_point(line)};
  record.timing.source = line.choice("source", {"cupti", "timed"}) == "cupti" ? CostSource::kCupti
                                                                              : CostSource::kTimed;
  for (const nlohmann::json& ns : line.array("spans_ns")) {
    if (!ns.is_number_integer() || ns < 1) {
      throw FormatError(line.path(), line.key("spans_ns"),
                        "must be whole numbers of nanoseconds, 1 or more");
    }
    record.timing.spans_ns.push_back(ns.get<std::int64_t>());
  }
  if (record.timing.spans_ns.empty()) {
    throw FormatError(line.path(), line.key("spans_ns"), "is empty");
  }
  const nlohmann::json& kernels = line.array("kernels");
  const std::string op = to_string(record.point);
  for (std::size_t i = 0; i < kernels.size(); ++i) {
    const std::string key = fmt::format("{}/{}", line.key("kernels"), i);
    record.timing.kernels.push_back(read_kernel(JsonObject(kernels[i], line.path(), key), op));
  }
  record.state = read_state(line);
  return record;
}

void read_energy(JsonObject& line, ProfileRecords& records) {
  EnergyRecord record{.point = read_point(line)};
  record.turn = static_cast<int>(line.integer("turn", 0, 1 << 20));
  record.window = Seconds(line.number("window_s", 1e-6, kMost));
  record.executions = line.number("executions", 1e-6, kMost);
  record.gross = Joules(line.number("gross_j", 0.0, kMost));
  record.idle = Watts(line.number("idle_w", 0.0, kMost));
  record.idle_change = line.number("idle_change", 0.0, kMost);
  record.state = read_state(line);
  records.energies.push_back(std::move(record));
}

/// What a number of a row may be.
struct Bounds {
  double low = 0.0;
  double high = 0.0;
  bool optional = false;  ///< may be null
};

using Row = std::array<std::optional<double>, 3>;

/// Rows of three numbers, by the first of them in order.
std::vector<Row> read_rows(JsonObject& line, const char* name, const char* what,
                           const std::array<Bounds, 3>& bounds) {
  std::vector<Row> rows;
  for (const nlohmann::json& row : line.array(name)) {
    Row numbers;
    bool sound = row.is_array() && row.size() == numbers.size();
    for (std::size_t i = 0; sound && i < numbers.size(); ++i) {
      const auto& [low, high, optional] = bounds[i];
      if (optional && row[i].is_null()) continue;
      if ((sound = row[i].is_number())) numbers[i] = row[i].get<double>();
      sound = sound && *numbers[i] >= low && *numbers[i] <= high;
    }
    const std::string key = fmt::format("{}/{}", line.key(name), rows.size());
    if (!sound) throw FormatError(line.path(), key, fmt::format("must be {}", what));
    if (!rows.empty() && *numbers[0] < *rows.back()[0]) {
      throw FormatError(line.path(), key, "is earlier than the one before it; sort them by time");
    }
    rows.push_back(numbers);
  }
  return rows;
}

constexpr Bounds kTime{0.0, kMostSeconds};
constexpr Bounds kPower{0.0, kMostWatts};

void read_thermal(JsonObject& line, ProfileRecords& records) {
  ThermalRecord record{.point = read_point(line)};
  for (const auto& [at, power, temperature] :
       read_rows(line, "samples", "[s, W, C]", {kTime, kPower, {kLeastCelsius, kMostCelsius}})) {
    record.samples.push_back({Seconds(*at), Watts(*power), Celsius(*temperature)});
  }
  records.thermal = std::move(record);
}

void read_strain(JsonObject& line, ProfileRecords& records) {
  StrainRecord record{.point = read_point(line)};
  record.limit = Watts(line.number("limit_w", kLeastPowerLimit.value, kMostWatts));
  for (const auto& [at, power, clock] : read_rows(line, "samples", "[s, W, MHz or null]",
                                                  {kTime, kPower, {0.0, kMostMegahertz, true}})) {
    StrainSample sample{.at = Seconds(*at), .power = Watts(*power)};
    if (clock) sample.sm_clock = Megahertz(*clock);
    record.samples.push_back(sample);
  }
  for (const auto& [from, to, executions] : read_rows(
           line, "batches", "[from s, to s, executions, 1 or more]", {kTime, kTime, {1, kMost}})) {
    const bool overlaps = !record.batches.empty() && *from < record.batches.back().to.value;
    if (*from >= *to || overlaps || *executions != std::floor(*executions)) {
      throw FormatError(line.path(), line.key("batches"),
                        "must end behind where they begin, one behind the other, with a whole "
                        "number of executions each");
    }
    record.batches.push_back({.from = Seconds(*from),
                              .to = Seconds(*to),
                              .executions = static_cast<std::int64_t>(*executions)});
  }
  records.strain = std::move(record);
}

}  // namespace

Json to_json(const ProfileFacts& facts) {
  return {{"kind", "profile"},        {"format", 1},
          {"backend", facts.backend}, {"device", facts.device},
          {"driver", facts.driver},   {"seed", facts.seed}};
}

Json to_json(const TimeRecord& record) {
  Json line = {{"kind", "time"},
               {"point", to_string(record.point)},
               {"part", record.part},
               {"source", to_string(record.timing.source)},
               {"spans_ns", record.timing.spans_ns},
               {"kernels", Json::array()}};
  for (const KernelRecord& kernel : record.timing.kernels) {
    line["kernels"].push_back(kernel_json(kernel));
  }
  set_state(line, record.state);
  return line;
}

Json to_json(const EnergyRecord& record) {
  Json line = {{"kind", "energy"},
               {"point", to_string(record.point)},
               {"turn", record.turn},
               {"window_s", record.window.value},
               {"executions", record.executions},
               {"gross_j", record.gross.value},
               {"idle_w", record.idle.value},
               {"idle_change", record.idle_change}};
  set_state(line, record.state);
  return line;
}

Json to_json(const ThermalRecord& record) {
  Json line = {{"kind", "thermal"}, {"point", to_string(record.point)}, {"samples", Json::array()}};
  for (const ThermalSample& s : record.samples) {
    line["samples"].push_back({s.at.value, s.power.value, s.temperature.value});
  }
  return line;
}

Json to_json(const StrainRecord& record) {
  Json line = {{"kind", "strain"},
               {"point", to_string(record.point)},
               {"limit_w", record.limit.value},
               {"samples", Json::array()},
               {"batches", Json::array()}};
  for (const StrainSample& s : record.samples) {
    line["samples"].push_back(
        {s.at.value, s.power.value, s.sm_clock ? Json(s.sm_clock->value) : Json()});
  }
  for (const WorkBatch& b : record.batches) {
    line["batches"].push_back({b.from.value, b.to.value, b.executions});
  }
  return line;
}

void read_record(JsonObject line, ProfileRecords& records) {
  const std::string kind =
      line.choice("kind", {"profile", "time", "repeat", "energy", "thermal", "strain"});
  if (kind == "profile") {
    if (const auto format = line.integer("format", 0, INT64_MAX); format != 1) {
      throw FormatError(
          line.path(), line.key("format"),
          fmt::format("is {}; this thermoe reads 1: profile into another folder", format));
    }
    records.facts = {.backend = line.string("backend"),
                     .device = line.string("device"),
                     .driver = line.string("driver"),
                     .seed = static_cast<std::uint64_t>(line.integer("seed", 0, INT64_MAX))};
  } else if (kind == "time") {
    TimeRecord record = read_time(line);
    if (std::ranges::find(records.times, record.point, &TimeRecord::point) != records.times.end()) {
      throw FormatError(
          line.path(), line.key("point"),
          fmt::format("{} was timed in a line before; keep one of them", to_string(record.point)));
    }
    records.times.push_back(std::move(record));
  } else if (kind == "repeat") {
    records.repeats.push_back(read_time(line));
  } else if (kind == "energy") {
    read_energy(line, records);
  } else if (kind == "thermal") {
    read_thermal(line, records);
  } else {
    read_strain(line, records);
  }
  line.finish();
}

}  // namespace thermoe
