// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// `thermoe load`: work on a GPU as another tenant of it, with a duty or with a share of its watts.
/// `stop` (Ctrl-C) ends it with what it did told. What cannot be had throws UsageError (exit code
/// 2).
void add_load_command(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
