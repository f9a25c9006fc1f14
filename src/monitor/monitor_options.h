// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "core/units.h"
#include "telemetry/gpu_selection.h"
#include "telemetry/source_kind.h"

namespace thermoe {

/// What `thermoe monitor` was asked for.
struct MonitorRequest {
  enum class Output { kView, kCsv, kJson };

  /// Empty: the machine's NVML and host sensors, or the run's own telemetry with `run`.
  std::optional<SourceKind> source{};
  std::string replay_file{};
  std::string nvml_library{};  ///< empty: where the loader finds it
  std::string plant_file{};    ///< of the simulated GPU
  Output output = Output::kView;
  bool once = false;
  GpuSelection gpus{};
  std::optional<std::string> run{};
  std::optional<Seconds> period{};
  std::optional<Seconds> duration{};
};

}  // namespace thermoe
