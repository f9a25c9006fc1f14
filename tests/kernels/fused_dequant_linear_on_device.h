// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/fused_dequant_linear.h"

namespace thermoe {

/// The CUDA backend on host memory: copies the arguments to the device, runs the op and copies the
/// result back. The output holds NaN before, and nothing behind it may change.
void fused_dequant_linear_on_device(const FusedDequantLinearArgs& host);

}  // namespace thermoe
