// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/grouped_experts.h"

namespace thermoe {

/// The CUDA backend on host memory: copies the arguments to the device, runs the op and copies the
/// results back. Outputs and workspaces hold NaN before, and nothing behind them may change.
void grouped_experts_on_device(const GroupedExpertsArgs& host);

}  // namespace thermoe
