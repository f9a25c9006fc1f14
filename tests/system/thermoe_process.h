// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// How to run the program.
struct ProcessOptions {
  /// Send `signal` as soon as this file has more lines than `signal_after_lines`.
  std::string watched_file{};
  int signal_after_lines = 0;
  int signal = 0;
  /// Largest file the process may write: stands for a full disk.
  std::optional<std::uint64_t> file_size_limit{};
};

struct ProcessResult {
  int exit_code = -1;  ///< or minus the signal that ended it
  std::string out{};
  std::string err{};
};

/// Runs the built `thermoe` with these arguments, from the repository's root.
ProcessResult thermoe_process(const std::vector<std::string>& arguments,
                              const ProcessOptions& options = {});

}  // namespace thermoe
