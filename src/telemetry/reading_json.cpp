// SPDX-License-Identifier: Apache-2.0
#include "telemetry/reading_json.h"

#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <variant>

#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

Json cell(const TraceNumber& number) {
  if (const auto* whole = std::get_if<std::uint64_t>(&number)) return *whole;
  return std::stod(to_text(number));  // 130.688, not 130.68800000000002
}

template <class R>
void add_sensors(Json& object, std::span<const TraceColumn<R>> columns, const R& reading) {
  for (const auto& column : columns) {
    const auto value = column.value(reading);
    object[std::string(column.name)] = value ? cell(*value) : Json(nullptr);
  }
}

}  // namespace

Json reading_json(const GpuReading& gpu) {
  Json object = {{"gpu", gpu.index}, {"name", gpu.name}, {"uuid", gpu.uuid}};
  add_sensors(object, gpu_trace_columns(), gpu);
  return object;
}

Json reading_json(const HostReading& host) {
  Json object = {{"name", host.name}};
  add_sensors(object, host_trace_columns(), host);
  return object;
}

}  // namespace thermoe
