// SPDX-License-Identifier: Apache-2.0
#include "monitor/json_line.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "core/json_file.h"
#include "monitor/throttle_reasons.h"
#include "telemetry/reading_json.h"

namespace thermoe {
namespace {

using Json = nlohmann::ordered_json;  // people read the lines too

std::string line(const Json& json) { return json_text(json) + "\n"; }

Json start(Seconds at, std::string_view source, std::string_view utc) {
  return {{"t_s", at.value}, {"utc", std::string(utc)}, {"source", std::string(source)}};
}

/// To 12 digits, as the CSV has it: 130.688, not 130.68800000000002.
Json or_null(const std::optional<double>& number) {
  return number ? Json(std::stod(fmt::format("{:.12g}", *number))) : Json(nullptr);
}

template <class Tag>
Json or_null(const std::optional<Quantity<Tag>>& quantity) {
  return or_null(quantity ? std::optional(quantity->value) : std::nullopt);
}

}  // namespace

std::string json_line(const Snapshot& snapshot, std::string_view source, std::string_view utc) {
  Json json = start(snapshot.at, source, utc);
  json["simulated"] = snapshot.simulated;
  json["gpus"] = Json::array();
  for (const GpuReading& gpu : snapshot.gpus) {
    Json object = reading_json(gpu);
    Json words = nullptr;
    if (const auto& bits = gpu.throttle_reasons.value) {
      words = Json::array();
      for (const ThrottleReason& reason : throttle_reasons(*bits)) words.push_back(reason.words);
    }
    object["clocks_limited_by"] = std::move(words);
    json["gpus"].push_back(std::move(object));
  }
  json["host"] = Json::array();
  for (const HostReading& host : snapshot.host) {
    json["host"].push_back(reading_json(host));
  }
  json["problems"] = snapshot.problems;
  return line(json);
}

std::string json_error_line(Seconds at, std::string_view source, std::string_view utc,
                            std::string_view error) {
  Json json = start(at, source, utc);
  json["error"] = std::string(error);
  return line(json);
}

std::string json_run_line(const RunView& run, Seconds at, std::string_view utc) {
  Json json = start(at, "run " + run.folder, utc);
  static constexpr const char* kStates[] = {"waiting", "running", "finished"};
  Json object = {{"state", kStates[static_cast<int>(run.state)]},
                 {"experiment", run.experiment},
                 {"simulated", run.simulated},
                 {"strategy", run.strategy},
                 {"time_s", run.at.value},
                 {"duration_s", or_null(run.duration)},
                 {"lambda", or_null(run.lambda)},
                 {"active_experts", or_null(run.active_experts)},
                 {"kept_mass", or_null(run.kept_mass)},
                 {"bits_per_byte", or_null(run.bits_per_byte)},
                 {"power_target_w", or_null(run.power_target)},
                 {"power_average_w", or_null(run.power_sensor)},
                 {"predicted_power_w", or_null(run.power_predicted)},
                 {"temperature_target_c", or_null(run.temperature_target)},
                 {"fallback", run.fallback},
                 {"at_floor", run.at_floor},
                 {"violation", run.violation}};
  json["run"] = std::move(object);
  return line(json);
}

}  // namespace thermoe
