// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/fused_dequant_linear.h"

// The CUDA backend, as cpu/backends.h is the CPU's: the dispatchers beside the public headers check
// what the host can know; these trust it. Nothing here allocates or synchronises. In programs
// without CUDA, absent.cpp refuses each.
namespace thermoe::cuda {

void fused_dequant_linear(const FusedDequantLinearArgs& args, Stream stream);

}  // namespace thermoe::cuda
