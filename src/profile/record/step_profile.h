// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cost/kernel_cost_model.h"
#include "cost/step_rows.h"
#include "machine/calibration/cost_calibration.h"

namespace thermoe {

/// Whole steps of the load proxy, to be measured at several batches.
struct StepProfileRequest {
  ExpertShape shape{};  ///< of a model: so many layers, such experts
  std::string dtype = "bf16";
  std::vector<int> tokens{};  ///< batches
  std::string device{};
  std::string driver{};
  const KernelCostModel& base;  ///< as CalibrationRequest has it
  std::uint64_t seed = 1;
  CalibrationTiming timing{};
};

/// What it works with. `make_load` makes the load of a batch; all as CalibrationBench has them.
struct StepProfileBench {
  std::function<std::unique_ptr<StepLoad>(int tokens)> make_load;
  const GpuSystemMonitor& monitor;
  const Clock& clock;
  const std::atomic<bool>& stop;
  CalibrationProgress progress;
};

/// Steps back to back at up to six D for each batch that `known` rows do not have yet: device time
/// of a step, and joules of the whole board in that time (idle, as it was found, included). Each
/// batch takes at most `timing.budget`; after each `keep` gets all rows so far. False if it was
/// stopped. Throws as calibrate_costs and the load do.
bool profile_steps(const StepProfileRequest& request, const StepProfileBench& bench,
                   std::vector<StepRow> known,
                   const std::function<void(const std::vector<StepRow>&)>& keep);

}  // namespace thermoe
