// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "run/experiment_inputs.h"

namespace thermoe {

/// Throws UsageError where `make_run_folder` would find `out` taken; makes nothing.
void check_run_folder(const std::string& out, bool force);

/// Makes the folder of a run: `out`, or runs/<name>-<n> with the first free n. An existing folder
/// must be empty, unless `force`: then the files of the run that was there are removed first, so
/// that no old summary passes for the new run's. Throws UsageError (taken), WriteError (cannot be
/// made).
std::string make_run_folder(const std::optional<std::string>& out, const std::string& name,
                            bool force);

/// Writes config.json: the experiment with every default filled in, and what its figures stand for.
/// Throws WriteError.
void write_config(const std::string& folder, const ExperimentInputs& inputs);

}  // namespace thermoe
