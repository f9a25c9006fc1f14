// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include "kernels/backend.h"
#include "kernels/float_type.h"

namespace thermoe {

// What the kernels' arguments say of a tensor.

/// kCuda for a tensor in CUDA memory, else kCpu.
Backend backend_of(const at::Tensor& tensor);
/// The stream that LibTorch gives its own work on the tensor's device.
Stream stream_of(const at::Tensor& tensor);
/// Throws PreconditionError unless f32, bf16 or f16.
FloatType float_type_of(const at::Tensor& tensor);

}  // namespace thermoe
