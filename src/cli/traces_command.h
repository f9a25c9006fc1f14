// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe traces`: what a recorded router holds.
void add_traces_command(CLI::App& app);

}  // namespace thermoe
