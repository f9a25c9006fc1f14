// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace thermoe {

/// What a program of the commands that `describe` adds ends with: 0 done, 1 failed, 2 bad input, or
/// what a command asks for by CLI::RuntimeError. Prints help where it is asked for, and on stderr
/// what was refused or failed.
int run_commands(int argc, char** argv, const std::function<void(CLI::App&)>& describe);

}  // namespace thermoe
