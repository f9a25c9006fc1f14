// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe parse FILE`: what an nsys export, a CSV of ncu or a trace of torch.profiler says of
/// each op. Bad files throw FormatError (exit code 2).
void add_parse_command(CLI::App& app);

}  // namespace thermoe
