// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/types.h>

#include <array>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

struct SpawnRequest {
  std::vector<std::string> words{};  ///< the first a path, or found on the PATH
  /// "NAME=value"; nothing else is inherited. Absent: this program's.
  std::optional<std::vector<std::string>> environment{};
  /// That become its standard input, output and error; -1: it has this program's.
  std::array<int, 3> descriptors{-1, -1, -1};
  sigset_t blocked{};      ///< signals that it has blocked; what main() ignores is as usual
  bool own_group = false;  ///< Ctrl-C in the terminal does not reach it
};

/// Starts a program and does not wait for it. Returns 0 and its `pid`, or the errno.
int spawn_program(const SpawnRequest& request, pid_t& pid);

/// Why a program of that name was not found or not run, for people.
std::string why_not_run(const std::string& word, int error);

}  // namespace thermoe
