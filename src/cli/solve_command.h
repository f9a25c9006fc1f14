// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe solve`: the optimal prices of a model's experts under caps, whose router logits are
/// given.
void add_solve_command(CLI::App& app);

}  // namespace thermoe
