// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <string>

namespace thermoe {

/// "cpu", or "cuda" / "cuda:N". The program links only LibTorch's CPU half; for CUDA it loads
/// libtorch_cuda from beside it, once (docs/adr/0001-libtorch-boundary.md). Throws UsageError with
/// the reason where that cannot be, or where this program has no CUDA kernels.
at::Device torch_device(const std::string& name);

}  // namespace thermoe
