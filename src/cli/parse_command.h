// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "profile/cost_merge.h"

namespace thermoe {

/// `thermoe parse FILE`: what an nsys export, a CSV of ncu or a trace of torch.profiler says of
/// each op. Bad files throw FormatError (exit code 2).
void add_parse_command(CLI::App& app);

/// Tells what became of a profile in this cost model.
void say_merged(const MergedCosts& merged, const std::string& cost_model);

}  // namespace thermoe
