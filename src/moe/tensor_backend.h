// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/torch.h>

#include <cstddef>
#include <span>

#include "kernels/backend.h"
#include "kernels/float_type.h"

namespace thermoe {

// What the kernels' arguments say of a tensor, and memory for them beside it.

/// kCuda for a tensor in CUDA memory, else kCpu.
Backend backend_of(const at::Tensor& tensor);
/// The stream that LibTorch gives its own work on the tensor's device.
Stream stream_of(const at::Tensor& tensor);
/// Throws PreconditionError unless f32, bf16 or f16.
FloatType float_type_of(const at::Tensor& tensor);

/// Bytes of the host's memory where the tensor lies: there for a CPU tensor, else a copy.
at::Tensor beside(const at::Tensor& tensor, std::span<const std::byte> bytes);

/// Scratch memory beside a tensor, aligned to 64 bytes as LibTorch allocates everything.
class TensorScratch {
 public:
  TensorScratch(const at::Tensor& tensor, std::size_t bytes);

  std::byte* data() const { return static_cast<std::byte*>(memory_.mutable_data_ptr()); }
  std::size_t size() const { return static_cast<std::size_t>(memory_.numel()); }

 private:
  at::Tensor memory_;
};

}  // namespace thermoe
