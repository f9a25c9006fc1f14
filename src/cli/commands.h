// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// Every command of the program. `stop` ends those that end early.
void add_commands(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
