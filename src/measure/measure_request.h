// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "measure/http_get.h"
#include "measure/prometheus_counter.h"
#include "telemetry/gpu_selection.h"
#include "telemetry/host_source.h"
#include "telemetry/source_kind.h"

namespace thermoe {

/// Where readings come from.
struct SensorChoice {
  SourceKind source = SourceKind::kMachine;
  std::string replay_file{};
  std::string nvml_library{};          ///< empty: where the loader finds it
  std::string nvml_library_setting{};  ///< that people name it with; empty: --nvml-library
  std::string plant_file{};            ///< of the simulated GPU; empty: the shipped one
  HostPaths host{};
  GpuSelection gpus{};
};

/// How the work done is counted, in one of three ways, or not at all.
struct UnitsChoice {
  std::string name = "unit";
  std::optional<double> count{};       ///< told beforehand
  std::optional<std::string> regex{};  ///< found in what the command prints
  std::optional<HttpUrl> url{};        ///< a page of metrics, read at the window's edges ...
  CounterSelector counter{};           ///< ... for the growth of this counter

  bool any() const { return count || regex || url; }
};

/// What `thermoe measure` was asked for.
struct MeasureRequest {
  SensorChoice sensors{};
  std::vector<std::string> command{};  ///< empty: measure a stretch of time
  std::optional<Seconds> seconds{};    ///< its length; empty with a recording: all of it
  Seconds skip{};                      ///< before the window begins
  int repeat = 1;
  int warmup = 0;                 ///< runs before that are not counted
  std::optional<Seconds> idle{};  ///< a window before everything, to be shown apart
  UnitsChoice units{};
  bool json = false;  ///< to standard output, instead of the words
  std::string out{};  ///< JSON to this file, too
  bool quiet = false;
  bool progress = false;  ///< standard error is a terminal and may show the time
};

}  // namespace thermoe
