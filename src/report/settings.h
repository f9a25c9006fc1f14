// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace thermoe {

/// One setting of a run under its path, such as "control/k_min", and its value as text.
struct Setting {
  std::string name{};
  std::string value{};
};

/// Every leaf of a config, in the order of the file. An empty list or object is a leaf.
std::vector<Setting> settings(const nlohmann::json& config);

/// A setting that two runs do not share; absent on a side is an empty value.
struct SettingDifference {
  std::string name{};
  std::string a{};
  std::string b{};
};

/// Settings that differ, sorted by name.
std::vector<SettingDifference> differing_settings(const nlohmann::json& a, const nlohmann::json& b);

}  // namespace thermoe
