// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace thermoe {

/// The domain of the ranges that name ops, as `thermoe profile` writes them.
inline constexpr const char* kOwnDomain = "thermoe";
/// What the ranges that belong to no named domain are called.
inline constexpr const char* kDefaultDomain = "default";

struct ParseOptions {
  /// Whose ranges name ops. Absent: `kOwnDomain` where the file has it, else the default one.
  std::optional<std::string> domain{};
  /// A recording of `thermoe monitor --csv` made meanwhile. Absent: what the file itself holds.
  std::optional<std::string> samples{};
  bool executions = false;  ///< also fill RangeRecord::executions
};

}  // namespace thermoe
