// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// How to run a program whose good manners nobody vouches for.
struct ProgramOptions {
  std::vector<std::string> environment{};    ///< "NAME=value"; nothing else is inherited
  std::chrono::milliseconds patience{5000};  ///< then it is killed, with all that it started
  std::size_t longest_output = 64U << 10;    ///< bytes of each stream; more gets it killed
};

/// What came of it.
struct ProgramOutput {
  int start_error = 0;             ///< errno, if it could not be started at all
  std::optional<int> exit_code{};  ///< if it ended by itself
  bool timed_out = false;
  bool too_long = false;  ///< it wrote more than was wanted
  std::string out{};
  std::string err{};

  bool succeeded() const { return exit_code == 0; }
  /// Why it did not succeed, for people: "did not answer within 5 s and was stopped".
  std::string failure(std::chrono::milliseconds patience) const;
};

/// Runs `arguments[0]`, a path, without a shell, in a process group of its own, with nothing on
/// stdin. Returns at the latest about a second after `patience`.
ProgramOutput run_program(const std::vector<std::string>& arguments, const ProgramOptions& options);

}  // namespace thermoe
