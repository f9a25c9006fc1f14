// SPDX-License-Identifier: Apache-2.0
#include "moe/tensor_backend.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include "core/errors.h"

namespace thermoe {

Backend backend_of(const at::Tensor& tensor) {
  return tensor.is_cuda() ? Backend::kCuda : Backend::kCpu;
}

Stream stream_of(const at::Tensor& tensor) {
  if (!tensor.is_cuda()) return {nullptr};
  // Not by c10/cuda, whose library is not linked (docs/adr/0001-libtorch-boundary.md).
  return {c10::impl::VirtualGuardImpl(at::kCUDA).getStream(tensor.device()).native_handle()};
}

FloatType float_type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return FloatType::kF32;
    case at::kBFloat16:
      return FloatType::kBf16;
    case at::kHalf:
      return FloatType::kF16;
    default:
      THERMOE_EXPECT(false, "a tensor of {} is not f32, bf16 or f16",
                     at::toString(tensor.scalar_type()));
  }
}

at::Tensor beside(const at::Tensor& tensor, std::span<const std::byte> bytes) {
  return at::from_blob(const_cast<std::byte*>(bytes.data()),
                       {static_cast<std::int64_t>(bytes.size())}, at::kByte)
      .to(tensor.device());
}

TensorScratch::TensorScratch(const at::Tensor& tensor, std::size_t bytes)
    : memory_(at::empty({static_cast<std::int64_t>(bytes)}, tensor.options().dtype(at::kByte))) {}

}  // namespace thermoe
