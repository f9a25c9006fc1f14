// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe price`: what activation pricing would do to a model whose router logits are given.
void add_price_command(CLI::App& app);

}  // namespace thermoe
