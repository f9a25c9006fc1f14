// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <type_traits>

#include "core/errors.h"

namespace thermoe {

/// Structs of thermoe.h begin with the caller's size of them and grow at their end. Largest that is
/// no mistake.
inline constexpr std::size_t kLargestStruct = 65536;

/// `given->size`, once it is one that the caller's struct can have. `first`: that of the first
/// version.
template <class T>
std::size_t size_of_given(const T* given, std::size_t first, const char* name) {
  static_assert(std::is_standard_layout_v<T> && offsetof(T, size) == 0);
  if (given == nullptr) throw UsageError(fmt::format("{} is NULL; give one", name));
  const std::size_t size = given->size;
  if (size < first || size > kLargestStruct) {
    throw UsageError(fmt::format(
        "{}.size is {}; set it to sizeof({}), which is {} here and was {} in the first version",
        name, size, name, sizeof(T), first));
  }
  return size;
}

/// What the caller gave, with zeros for what its version does not have. Throws UsageError for a
/// newer one that asks for what this library does not know.
template <class T>
T read_sized(const T* given, std::size_t first, const char* name) {
  const std::size_t size = size_of_given(given, first, name);
  T known{};
  std::memcpy(&known, given, std::min(size, sizeof known));
  const auto* bytes = reinterpret_cast<const unsigned char*>(given);
  for (std::size_t i = sizeof known; i < size; ++i) {
    if (bytes[i] == 0) continue;
    throw UsageError(
        fmt::format("{} has {} bytes and says something in byte {}, but this library knows {} of "
                    "them; install a newer one, or leave the rest zero",
                    name, size, i, sizeof known));
  }
  return known;
}

/// Gives the caller as much as its version has, and zeros for what only a newer one knows.
template <class T>
void write_sized(T* to, T value, std::size_t first, const char* name) {
  const std::size_t size = size_of_given(to, first, name);
  value.size = size;
  std::memcpy(to, &value, std::min(size, sizeof value));
  if (size > sizeof value) {
    std::memset(reinterpret_cast<unsigned char*>(to) + sizeof value, 0, size - sizeof value);
  }
}

}  // namespace thermoe
