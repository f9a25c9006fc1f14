// SPDX-License-Identifier: Apache-2.0
#include "engine/sensor_choice.h"

#include <nlohmann/json.hpp>

#include "core/errors.h"
#include "core/json_file.h"
#include "core/named_values.h"

namespace thermoe {
namespace {

constexpr NamedValues<SourceKind, 5> kSources{{{SourceKind::kMachine, "machine"},
                                               {SourceKind::kNvml, "nvml"},
                                               {SourceKind::kHost, "host"},
                                               {SourceKind::kReplay, "replay"},
                                               {SourceKind::kSimulated, "simulated"}}};

}  // namespace

SensorChoice read_sensor_choice(const std::string& text) {
  const std::string path = "sensors";
  const nlohmann::json json = parse_json(text, path);
  JsonObject o(json, path);
  SensorChoice choice{
      .source = value_of(kSources, o.choice_or("source", "machine", all_names(kSources))).value(),
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
