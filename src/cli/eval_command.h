// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// `thermoe eval`: bits/byte of a checkpoint by domain, and what routing policies cost it.
void add_eval_command(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
