// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe cost at`: what a cost model's tables say of single points.
void add_cost_at_command(CLI::App& cost);

}  // namespace thermoe
