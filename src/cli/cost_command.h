// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe cost show FILE` and `thermoe cost check FILE`: what a kernel_cost_model.json says, and
/// how far it is from what the optimisation assumes. Bad files throw FormatError (exit code 2); a
/// failed `check --strict` throws CLI::RuntimeError with exit code 1.
void add_cost_command(CLI::App& app);

}  // namespace thermoe
