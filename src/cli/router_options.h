// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "moe/stated_router.h"

namespace thermoe {

/// Adds --score, --k, --groups and --groups-kept: what the user says of how the router picks whose
/// logits a file holds. They win over the file (moe/router_logits.h). `given` must outlive the
/// parsing.
void add_pick_options(CLI::App& command, StatedRouter& given);
/// These, --denominator and --loss-scores.
void add_router_options(CLI::App& command, StatedRouter& given);

}  // namespace thermoe
