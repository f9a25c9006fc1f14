// SPDX-License-Identifier: Apache-2.0
#include "engine/readings_json.h"

#include <nlohmann/json.hpp>
#include <span>
#include <variant>

#include "core/json_file.h"
#include "telemetry/trace_columns.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;

template <class R>
void add_sensors(Json& object, std::span<const TraceColumn<R>> columns, const R& reading) {
  for (const auto& column : columns) {
    Json& cell = object[std::string(column.name)];
    const auto value = column.value(reading);
    if (value) std::visit([&](const auto& number) { cell = number; }, *value);
  }
}

}  // namespace

std::string readings_json(const std::vector<Snapshot>& snapshots, const std::string& source,
                          const std::vector<std::string>& problems, Seconds now) {
  Json json{{"source", source},
            {"simulated", false},
            {"gpus", Json::array()},
            {"host", Json::array()},
            {"problems", problems}};
  for (const Snapshot& snapshot : snapshots) {
    const double age = (now - snapshot.at).value;
    if (snapshot.simulated) json["simulated"] = true;
    for (const GpuReading& gpu : snapshot.gpus) {
      Json object{{"gpu", gpu.index}, {"name", gpu.name}, {"uuid", gpu.uuid}, {"age_s", age}};
      add_sensors(object, gpu_trace_columns(), gpu);
      json["gpus"].push_back(std::move(object));
    }
    for (const HostReading& host : snapshot.host) {
      Json object{{"name", host.name}, {"age_s", age}};
      add_sensors(object, host_trace_columns(), host);
      json["host"].push_back(std::move(object));
    }
  }
  return json_text(json);
}

}  // namespace thermoe
