// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace thermoe {

/// Cuts all that follows `thermoe eval-engine` off the arguments: the words are for Python's
/// parser. Empty for other commands.
std::vector<std::string> cut_engine_words(int& argc, char** argv);

/// `thermoe eval-engine`: becomes `python3 -m thermoe.eval_engine`, as engines are Python programs.
/// Throws UsageError where there is no Python or no package thermoe in it.
void add_eval_engine_command(CLI::App& app, std::vector<std::string> words);

}  // namespace thermoe
