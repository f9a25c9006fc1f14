// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace thermoe {

/// Numbers for names, in the order in which they come.
class NameNumbers {
 public:
  std::uint32_t number(const std::string& name) {
    const auto next = static_cast<std::uint32_t>(names_.size());
    const auto [place, is_new] = numbers_.try_emplace(name, next);
    if (is_new) names_.push_back(name);
    return place->second;
  }

  /// By number.
  const std::vector<std::string>& names() const { return names_; }

 private:
  std::unordered_map<std::string, std::uint32_t> numbers_{};
  std::vector<std::string> names_{};
};

}  // namespace thermoe
