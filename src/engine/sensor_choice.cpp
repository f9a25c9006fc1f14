// SPDX-License-Identifier: Apache-2.0
#include "engine/sensor_choice.h"

#include <map>
#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"

namespace thermoe {
namespace {

const std::map<std::string, SourceKind>& sources() {
  static const std::map<std::string, SourceKind> kSources{{"machine", SourceKind::kMachine},
                                                          {"nvml", SourceKind::kNvml},
                                                          {"host", SourceKind::kHost},
                                                          {"replay", SourceKind::kReplay},
                                                          {"simulated", SourceKind::kSimulated}};
  return kSources;
}

std::vector<std::string> source_names() {
  std::vector<std::string> names;
  for (const auto& [name, source] : sources()) names.push_back(name);
  return names;
}

}  // namespace

SensorChoice read_sensor_choice(const std::string& text) {
  const std::string path = "sensors";
  const nlohmann::json json = parse_json(text, path);
  JsonObject o(json, path);
  SensorChoice choice{.source = sources().at(o.choice_or("source", "machine", source_names())),
                      .replay_file = o.string_or("file", ""),
                      .nvml_library = o.string_or("nvml_library", ""),
                      .nvml_library_setting = "nvml_library",
                      .plant_file = o.string_or("plant", "")};
  if (o.given("gpus")) {
    choice.gpus = gpus_of_flag(o.string("gpus"));
  } else if (o.given("cuda_visible_devices")) {
    choice.gpus = gpus_of_cuda(o.string("cuda_visible_devices"));
  }
  o.ignore("cuda_visible_devices");
  o.finish();
  const auto need_file = [&](SourceKind kind, const std::string& file, const char* key) {
    if (choice.source != kind || !file.empty()) return;
    throw FormatError(path, std::string("/") + key, "is missing, and the source has no other");
  };
  need_file(SourceKind::kReplay, choice.replay_file, "file");
  need_file(SourceKind::kSimulated, choice.plant_file, "plant");
  return choice;
}

}  // namespace thermoe
