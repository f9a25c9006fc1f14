// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// `thermoe train`: trains the byte-level model. `stop` is set by the signal handler.
void add_train_command(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
