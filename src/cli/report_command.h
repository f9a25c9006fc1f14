// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe report DIR [DIR]`: writes a page about a run, or about two side by side, and prints its
/// path. A run that was killed is reported as such. Bad folders and files: exit code 2.
void add_report_command(CLI::App& app);

}  // namespace thermoe
