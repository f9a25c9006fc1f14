// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe profile`: what each op of an expert costs here. Ctrl-C ends it cleanly: no other
/// InterruptWatch may live.
void add_profile_command(CLI::App& app);

}  // namespace thermoe
