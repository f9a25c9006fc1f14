// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// `thermoe run FILE`: runs an experiment, prints its table, leaves its folder. `stop` is raised by
/// Ctrl-C; a stopped run leaves a readable metrics.csv, no summary.json, and exit code 1.
void add_run_command(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
