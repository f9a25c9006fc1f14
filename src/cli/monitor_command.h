// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe monitor`: what the GPUs and the host say now, live, once, or as CSV and JSON lines; and
/// what a run's controller does. Bad flags and files throw UsageError (exit code 2).
void add_monitor_command(CLI::App& app);

}  // namespace thermoe
