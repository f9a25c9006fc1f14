// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "control/controller_config.h"
#include "machine/machine.h"
#include "report/metrics_row.h"
#include "report/summary.h"
#include "run/experiment_inputs.h"
#include "run/progress.h"
#include "run/schedule.h"
#include "run/step_decoder.h"

namespace thermoe {

/// Makes a machine for a strategy's turn, idle.
using MachineFactory = std::function<std::unique_ptr<Machine>(const Turn& turn)>;
/// The experiment's simulated GPU, under its disturbances and, where requests arrive, under the
/// engine that takes them; each round has seeds of its own. Steps that read prompts are decoded by
/// `decoder` without prices. `inputs` and `decoder` must outlive the machines.
MachineFactory simulated_machines(const ExperimentInputs& inputs, StepDecoder& decoder);

/// What the run needs from outside: the parts that use LibTorch, and the process's edges.
struct RunServices {
  StepDecoder& decoder;      ///< what every strategy decodes
  StepDecoder& calibration;  ///< what controllers are calibrated on; may be the same
  std::function<std::unique_ptr<Controller>(const ControllerConfig&)> make_controller;
  MachineFactory make_machine;
  /// The peak of the process's memory since `reset_peak_memory`, which says whether it can.
  std::function<bool()> reset_peak_memory;
  std::function<std::optional<std::uint64_t>()> peak_memory_bytes;
  Progress& progress;
  const std::atomic<bool>& stop;                     ///< raised by Ctrl-C
  std::function<void(const MetricsRow&)> on_tick{};  ///< sees each row that is logged; may be empty
};

struct RunResult {
  Summary summary{};
  bool complete = false;  ///< false when stopped: no summary.json was written
};

/// Runs every strategy on the same steps, as `schedule` has them take turns, and writes
/// metrics.csv, expert_usage.csv and, when all are done, details.json and summary.json into
/// `folder`, which must exist. BASELINE goes first: the others are compared with its predictions.
/// Where it is not asked for, it is decoded alone, without a machine, for that comparison (unless
/// kl_every is 0). Throws UsageError for a model that does not fit the experiment, WriteError.
RunResult run_experiment(const ExperimentInputs& inputs, const std::string& folder,
                         const RunServices& services);

}  // namespace thermoe
