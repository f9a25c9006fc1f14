// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe cost replay`: a recorded run against what a cost model predicts of it.
void add_replay_command(CLI::App& cost);

}  // namespace thermoe
