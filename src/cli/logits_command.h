// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// `thermoe logits`: router logits of a checkpoint, in the file that `thermoe price` reads.
void add_logits_command(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
