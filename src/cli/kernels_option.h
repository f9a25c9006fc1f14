// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "kernels/backend.h"

namespace thermoe {

/// Adds --kernels: whose routing and experts a model runs by. `name` must outlive the parsing.
CLI::Option* add_kernels_option(CLI::App& command, std::string& name);
/// Throws UsageError, naming the flag and the remedy, where this program or machine cannot run
/// them.
Backend checked_kernels(const std::string& name);

}  // namespace thermoe
