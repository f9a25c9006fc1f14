// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_stream.h"

#include "kernels/cuda/check.h"

namespace thermoe {

DeviceStream::DeviceStream() {
  cuda::expect_device();
  cudaStream_t stream = nullptr;
  cuda::check(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreate");
  handle_.reset(stream);
}

void DeviceStream::Destroy::operator()(void* handle) const {
  cudaStreamDestroy(static_cast<cudaStream_t>(handle));
}

}  // namespace thermoe
