// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/gpu_selection.h"
#include "telemetry/source_kind.h"

namespace thermoe {

/// What the flags that choose sensors say.
struct SourceFlags {
  std::vector<std::string> source{};
  std::optional<std::string> gpu{};
  std::string nvml_library{}, plant{};  ///< empty = not given
};

/// Adds --source, --gpu, --nvml-library and --plant; `flags` must outlive the command.
void add_source_options(CLI::App& command, SourceFlags& flags);

struct ChosenSource {
  SourceKind kind = SourceKind::kMachine;
  std::string replay_file{};
};

/// Absent if --source was not given. Throws UsageError.
std::optional<ChosenSource> chosen_source(const SourceFlags& flags);

/// --gpu wins over CUDA_VISIBLE_DEVICES, which says what NVML's GPUs mean to this user: nothing of
/// a recording or of simulated ones. `without_gpus`: the flag that left no GPU to choose from, if
/// one did. Throws UsageError.
GpuSelection chosen_gpus(const SourceFlags& flags, SourceKind source,
                         std::optional<std::string_view> without_gpus = {});

}  // namespace thermoe
