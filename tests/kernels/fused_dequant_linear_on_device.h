// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/fused_dequant_linear.h"

namespace thermoe {

/// A backend of the device on host memory: copies the arguments to the device, runs the op and
/// copies the result back. The output holds NaN before, and nothing behind it may change.
void fused_dequant_linear_on_device(Backend backend, const FusedDequantLinearArgs& host);

}  // namespace thermoe
