// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// Every command of the program. `stop` ends those that end early; `measured` is the command line
/// that `thermoe measure` runs (cli/measure_command.h).
void add_commands(CLI::App& app, const std::atomic<bool>& stop,
                  std::optional<std::vector<std::string>> measured = {});

}  // namespace thermoe
