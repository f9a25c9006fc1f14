// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "profile/under/tool_plan.h"

namespace thermoe {

/// How ncu repeats work to read more counters than fit at once.
enum class NcuReplay {
  kKernel,       ///< each kernel, its memory restored between
  kApplication,  ///< the whole child
};

struct NcuRequest {
  std::string program = "ncu";
  std::string base{};  ///< path of what it writes, without suffix
  NcuReplay replay = NcuReplay::kKernel;
  std::vector<std::string> child{};  ///< the command to profile
};

/// Counters of the kernels within ranges of `kOwnDomain`, at the clocks that the GPU chooses; then
/// the raw and the details page as CSV.
ToolPlan plan_ncu(const NcuRequest& request);

}  // namespace thermoe
