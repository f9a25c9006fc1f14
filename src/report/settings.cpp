// SPDX-License-Identifier: Apache-2.0
#include "report/settings.h"

#include <fmt/format.h>

#include <map>

#include "core/json_file.h"

namespace thermoe {
namespace {

using nlohmann::json;

void flatten(const json& value, const std::string& name, std::vector<Setting>& out) {
  if (value.is_structured() && !value.empty()) {
    for (const auto& [key, element] : value.items()) {
      flatten(element, name.empty() ? key : fmt::format("{}/{}", name, key), out);
    }
    return;
  }
  // Not dump() for strings: their quotes would only be noise. Bytes that are no UTF-8 are replaced.
  out.push_back({name, value.is_string() ? value.get<std::string>() : json_text(value)});
}

}  // namespace

std::vector<Setting> settings(const json& config) {
  std::vector<Setting> out;
  if (!config.is_null()) flatten(config, "", out);
  return out;
}

std::vector<SettingDifference> differing_settings(const json& a, const json& b) {
  std::map<std::string, SettingDifference> all;
  for (Setting& s : settings(a)) all[s.name].a = std::move(s.value);
  for (Setting& s : settings(b)) all[s.name].b = std::move(s.value);
  std::vector<SettingDifference> out;
  for (auto& [name, difference] : all) {
    if (difference.a == difference.b) continue;
    difference.name = name;
    out.push_back(std::move(difference));
  }
  return out;
}

}  // namespace thermoe
