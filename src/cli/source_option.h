// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <vector>

#include "telemetry/source_kind.h"

namespace thermoe {

/// What --source says.
struct ChosenSource {
  SourceKind kind = SourceKind::kMachine;
  std::string replay_file{};
};

/// Adds --source SOURCE [FILE]; `words` must outlive the command.
void add_source_option(CLI::App& command, std::vector<std::string>& words);

/// Absent if the flag was not given. Throws UsageError.
std::optional<ChosenSource> chosen_source(const std::vector<std::string>& words);

}  // namespace thermoe
