// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// Cuts `-- COMMAND [ARG...]` off the arguments of `thermoe measure` and gives its words as they
/// are: the parser would take some apart, such as [1,2]. Absent for other commands and without
/// `--`.
std::optional<std::vector<std::string>> cut_measured_command(int& argc, char** argv);

/// `thermoe measure`: joules, watts and degrees of a command (`words`) or of a stretch of time. Bad
/// flags and files throw UsageError (exit code 2); otherwise the exit code is the command's.
void add_measure_command(CLI::App& app, std::optional<std::vector<std::string>> words);

}  // namespace thermoe
