// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/program_search.h"
#include "profile/under/tool_plan.h"

namespace thermoe {

struct NsysRequest {
  std::string program = "nsys";
  std::string base{};                        ///< path of what it writes, without suffix
  std::optional<std::string> gpu_metrics{};  ///< its option that samples them (GpuMetricsAnswer)
  std::vector<std::string> child{};          ///< the command to profile
};

/// CUDA calls and kernels, those of graphs one by one, and the ranges of `kOwnDomain`; then the
/// export to SQLite.
ToolPlan plan_nsys(const NsysRequest& request);

/// Whether nsys may sample the GPU's counters beside the timeline.
struct GpuMetricsAnswer {
  std::optional<std::string> option{};  ///< for all GPUs, as this version spells it
  std::string why_not{};                ///< in its own words; empty where it may
};

/// Asks nsys, which knows driver, GPU and permission.
GpuMetricsAnswer ask_gpu_metrics(const ProgramPlaces& places, const std::string& nsys);

}  // namespace thermoe
