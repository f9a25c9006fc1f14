// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace thermoe {

/// The names by which files and people know an enum's values, in the order in which people list
/// them.
template <class Value, std::size_t N>
using NamedValues = std::array<std::pair<Value, std::string_view>, N>;

template <class Value, std::size_t N>
std::string_view name_of(const NamedValues<Value, N>& names, Value value) {
  const auto it = std::ranges::find(names, value, &std::pair<Value, std::string_view>::first);
  return it == names.end() ? "unknown" : it->second;
}

template <class Value, std::size_t N>
std::optional<Value> value_of(const NamedValues<Value, N>& names, std::string_view name) {
  const auto it = std::ranges::find(names, name, &std::pair<Value, std::string_view>::second);
  return it == names.end() ? std::nullopt : std::optional<Value>(it->first);
}

template <class Value, std::size_t N>
std::vector<std::string> all_names(const NamedValues<Value, N>& names) {
  std::vector<std::string> all;
  all.reserve(N);
  for (const auto& [value, name] : names) all.emplace_back(name);
  return all;
}

}  // namespace thermoe
