// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <atomic>

namespace thermoe {

/// `thermoe profile`: what each op of an expert costs here. `stop` must outlive the parsing.
void add_profile_command(CLI::App& app, const std::atomic<bool>& stop);

}  // namespace thermoe
