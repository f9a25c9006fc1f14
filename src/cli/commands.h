// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// Every command of the program. `stop` ends those that end early; `measured` is the command line
/// that `thermoe measure` runs (cli/measure_command.h), `engine_words` what follows `eval-engine`.
void add_commands(CLI::App& app, const std::atomic<bool>& stop,
                  std::optional<std::vector<std::string>> measured = {},
                  std::vector<std::string> engine_words = {});

}  // namespace thermoe
