// SPDX-License-Identifier: Apache-2.0
#include "kernels/pinned_memory.h"

#include "kernels/cuda/check.h"

namespace thermoe {

PinnedMemory::PinnedMemory(std::size_t bytes) : size_(bytes) {
  cuda::expect_device();
  void* data = nullptr;
  cuda::check(cudaMallocHost(&data, bytes), "cudaMallocHost");
  data_.reset(static_cast<std::byte*>(data));
}

void PinnedMemory::Free::operator()(std::byte* data) const { cudaFreeHost(data); }

}  // namespace thermoe
