// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/topk_route.h"

namespace thermoe {

/// The CUDA backend on host memory: copies the arguments to the device, runs the op and copies the
/// results back. Outputs and workspace hold garbage before, and nothing behind them may change.
void topk_route_on_device(const TopkRouteArgs& host);

}  // namespace thermoe
