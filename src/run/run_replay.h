// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"
#include "machine/simulated/simulated_gpu_config.h"
#include "run/recorded_run.h"

namespace thermoe {

/// Whose heat the simulated GPU has, for what is said of its degrees.
struct ReplayHeat {
  ThermalParameters parameters{};
  std::string source{};                ///< the plant's file, or the run that they were fitted to
  std::optional<double> fitted_rms{};  ///< degrees, on that run
};

/// Poles of the plant and a slower one, which a cooler and the air about it are, fitted to what
/// another run measured. Throws UsageError.
ReplayHeat fit_heat(const RecordedRun& run, const ThermalParameters& plant, Watts idle);

/// Predicted against measured over some of a run's ticks. Absent where nothing was measured.
struct ReplayFigures {
  Seconds time{};
  std::optional<Watts> measured{}, predicted{};              ///< means of the same ticks
  std::optional<Seconds> measured_step{}, predicted_step{};  ///< means over the recorded steps
  std::optional<double> temperature_rms{}, temperature_max{};

  /// Of the mean power, relative to the measured one.
  std::optional<double> power_error() const;
  std::optional<double> step_error() const;
};

/// Those of a turn or the whole run, and of its time with and without a tenant.
struct ReplayTurn {
  std::string name{};
  ReplayFigures all{}, alone{}, beside_tenant{};
};

struct RunReplay {
  std::string folder{}, device{};
  bool simulated = false;  ///< what was "measured" came from a simulated GPU
  std::string costs{}, cost_device{}, cost_source{};
  std::string coverage{};  ///< "expert layers only", or what stands with them
  Watts idle{};
  ReplayHeat heat{};
  Basis basis = Basis::kMeasured;  ///< the weakest lookup
  std::vector<ReplayTurn> turns{};
  ReplayTurn whole{};
};

/// Runs each turn's steps again on the simulated GPU: at the recorded rate, each layer charged at
/// its recorded number of active experts by `costs`, above that file's active idle, beside the
/// recorded tenant; each turn starts at its first recorded temperature. `gpu` gives limits and what
/// `heat` does not. Neither watts nor degrees nor step times of the record are looked at for it.
/// Throws UsageError where `costs` lacks the experts, or experts are of several precisions, as a
/// record does not say which of them were active.
RunReplay replay(const RecordedRun& run, const KernelCostModel& costs, SimulatedGpuConfig gpu,
                 const ReplayHeat& heat);

/// What `thermoe cost replay` prints.
std::string replay_text(const RunReplay& replay);
nlohmann::json replay_json(const RunReplay& replay);

}  // namespace thermoe
