// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

namespace thermoe {

/// Numbers for names, in the order in which they come. Each name is held once: some profilers give
/// every range a name of its own.
class NameNumbers {
 public:
  std::uint32_t number(const std::string& name) {
    return numbers_.try_emplace(name, static_cast<std::uint32_t>(numbers_.size())).first->second;
  }

  /// The names by number; none is left here.
  std::vector<std::string> take() {
    std::vector<std::string> names(numbers_.size());
    while (!numbers_.empty()) {
      auto node = numbers_.extract(numbers_.begin());
      names[node.mapped()] = std::move(node.key());
    }
    return names;
  }

 private:
  std::unordered_map<std::string, std::uint32_t> numbers_{};
};

}  // namespace thermoe
