// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/backends.h"
#include "kernels/cuda/check.h"

namespace thermoe::cuda {

void fused_dequant_linear(const FusedDequantLinearArgs&, Stream) {
  throw UsageError("fused_dequant_linear has no CUDA kernel yet");
}

}  // namespace thermoe::cuda
