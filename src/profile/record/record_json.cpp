// SPDX-License-Identifier: Apache-2.0
#include "profile/record/record_json.h"

#include <array>
#include <nlohmann/json.hpp>

#include "core/errors.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kMost = 1e15;
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
  if (const auto c = line.optional_number("temperature_c", -100, 300))
    state.temperature = Celsius(*c);
  if (const auto mhz = line.optional_number("sm_mhz", 0, 1e6)) state.sm_clock = Megahertz(*mhz);
  if (const auto mhz = line.optional_number("memory_mhz", 0, 1e6)) {
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

OpPoint read_point(JsonObject& line) {
  const std::string name = line.string("point");
  const auto point = read_op_point(name);
  if (!point) {
    throw FormatError(line.path(), line.key("point"),
                      fmt::format("is \"{}\", which names no op with shape, dtype and tokens",
                                  name.substr(0, 100)));
  }
  return *point;
}

TimeRecord read_time(JsonObject& line) {
  TimeRecord record{.part = line.string("part"), .point = read_point(line)};
  record.timing.source = line.choice("source", {"cupti", "timed"}) == "cupti" ? CostSource::kCupti
                                                                              : CostSource::kTimed;
  for (const nlohmann::json& ns : line.array("spans_ns")) {
    if (!ns.is_number_integer() || ns < 0) {
      throw FormatError(line.path(), line.key("spans_ns"), "must be whole numbers of nanoseconds");
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

/// Rows of three numbers; the last of them may be null where `optional`.
std::vector<std::array<std::optional<double>, 3>> read_rows(JsonObject& line, const char* name,
                                                            const char* what, bool optional) {
  std::vector<std::array<std::optional<double>, 3>> rows;
  for (const nlohmann::json& row : line.array(name)) {
    std::array<std::optional<double>, 3> numbers;
    bool sound = row.is_array() && row.size() == numbers.size();
    for (std::size_t i = 0; sound && i < numbers.size(); ++i) {
      if (optional && i + 1 == numbers.size() && row[i].is_null()) continue;
      sound = row[i].is_number();
      if (sound) numbers[i] = row[i].get<double>();
    }
    if (!sound)
      throw FormatError(line.path(), line.key(name), fmt::format("must be {} each", what));
    rows.push_back(numbers);
  }
  return rows;
}

void read_thermal(JsonObject& line, ProfileRecords& records) {
  ThermalRecord record{.point = read_point(line)};
  for (const auto& [at, power, temperature] : read_rows(line, "samples", "[s, W, C]", false)) {
    record.samples.push_back({Seconds(*at), Watts(*power), Celsius(*temperature)});
  }
  records.thermal = std::move(record);
}

void read_strain(JsonObject& line, ProfileRecords& records) {
  StrainRecord record{.point = read_point(line)};
  record.limit = Watts(line.number("limit_w", 1.0, 1e5));
  for (const auto& [at, power, clock] : read_rows(line, "samples", "[s, W, MHz or null]", true)) {
    StrainSample sample{.at = Seconds(*at), .power = Watts(*power)};
    if (clock) sample.sm_clock = Megahertz(*clock);
    record.samples.push_back(sample);
  }
  for (const auto& [from, to, executions] :
       read_rows(line, "batches", "[from s, to s, executions]", false)) {
    if (!(*from < *to && *executions >= 1 && *executions <= kMost)) {
      throw FormatError(line.path(), line.key("batches"),
                        "must end behind where they begin, with at least one execution each");
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
    records.times.push_back(read_time(line));
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
