// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

#include "profile/under/profiler_tool.h"

namespace thermoe {

/// What a tool and its child wrote, as far as it is kept: the beginning and the end, where tools
/// say what is wrong.
class ToolWords {
 public:
  void add(std::string_view bytes);
  bool contain(std::string_view words) const;
  /// The number that follows `words`, as in "(7)" or " 7".
  std::optional<int> number_after(std::string_view words) const;
  /// The last line that is not blank, printable.
  std::string last_line() const;

 private:
  static constexpr std::size_t kKept = 64U << 10;
  std::string begin_{};
  std::string end_{};
};

/// A fault that a tool's words tell.
struct ToolFault {
  std::string text{};    ///< what is wrong and what to do
  bool mendable = true;  ///< by the user; else the tool failed
};

/// What keeps this tool from profiling here; absent where its words name nothing that is known.
std::optional<ToolFault> fault_in(const ToolWords& words, Profiler profiler);

/// Whether they say that a disk is full.
bool tell_full_disk(const ToolWords& words);

}  // namespace thermoe
