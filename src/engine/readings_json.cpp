// SPDX-License-Identifier: Apache-2.0
#include "engine/readings_json.h"

#include <nlohmann/json.hpp>

#include "core/json_file.h"
#include "telemetry/reading_json.h"

namespace thermoe {

std::string readings_json(const std::vector<Snapshot>& snapshots, const std::string& source,
                          const std::vector<std::string>& problems, Seconds now) {
  using Json = nlohmann::ordered_json;
  Json json{{"source", source},
            {"simulated", false},
            {"gpus", Json::array()},
            {"host", Json::array()},
            {"problems", problems}};
  for (const Snapshot& snapshot : snapshots) {
    const double age = (now - snapshot.at).value;
    if (snapshot.simulated) json["simulated"] = true;
    for (const GpuReading& gpu : snapshot.gpus) {
      Json object = reading_json(gpu);
      object["age_s"] = age;
      json["gpus"].push_back(std::move(object));
    }
    for (const HostReading& host : snapshot.host) {
      Json object = reading_json(host);
      object["age_s"] = age;
      json["host"].push_back(std::move(object));
    }
  }
  return json_text(json);
}

}  // namespace thermoe
