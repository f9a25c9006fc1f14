// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

namespace thermoe {

/// What a small file of /sys or /proc said when read once.
struct HostFileText {
  std::optional<std::string> text{};  ///< without newlines and blanks at its end
  int error = 0;                      ///< errno, if there is no text
};
/// At most 1 MiB of it. Never waits, not for a pipe's writer either.
HostFileText read_host_file(const std::string& path);

/// The same for a file that holds one whole number.
struct HostFileNumber {
  std::optional<long long> number{};
  /// Why there is none, if the sensor is there; empty for one that is gone or has nothing to say.
  std::string problem{};
  bool permission = false;  ///< the problem is a permission
};
HostFileNumber read_host_number(const std::string& path);

}  // namespace thermoe
