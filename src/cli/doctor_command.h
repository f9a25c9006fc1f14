// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

namespace thermoe {

/// `thermoe doctor`: what this machine has, what each missing thing would enable, and the remedy.
/// Throws CLI::RuntimeError with exit code 1 if simulated runs and the CPU kernels cannot work.
void add_doctor_command(CLI::App& app);

}  // namespace thermoe
