// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <vector>

#include "profile/ops/profiled_model.h"

namespace thermoe {

/// Of `thermoe profile --step`.
struct StepTask {
  ProfiledModel model{};
  std::string dtype = "bf16";
  std::vector<int> tokens{};   ///< batches
  std::string out{};           ///< folder
  std::string cost_model{};    ///< whose tables know the expert layers; gets what is beside them
  std::string nvml_library{};  ///< empty: the driver's
  std::uint64_t seed = 1;
};

/// Measures whole steps of the load proxy on the current GPU into steps.csv of the folder, and puts
/// what they cost beside the expert layers into the cost model. Goes on with the batches that the
/// folder lacks. False if it was stopped. Throws UsageError where there is no GPU for it.
bool profile_step(const StepTask& task, const std::atomic<bool>& stop);

}  // namespace thermoe
