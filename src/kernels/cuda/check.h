// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime_api.h>

#include "kernels/device_memory.h"

namespace thermoe::cuda {

/// Throws CudaError unless `result` is cudaSuccess. `call` names what was tried.
inline void check(cudaError_t result, const char* call) {
  if (result == cudaSuccess) return;
  cudaGetLastError();  // or the next launch would report it again
  throw CudaError(
      fmt::format("{}: {}: {}", call, cudaGetErrorName(result), cudaGetErrorString(result)));
}

/// After a launch: its own failure, not the kernel's, which shows later.
inline void check_launch(const char* kernel) { check(cudaGetLastError(), kernel); }

/// Throws UsageError where `device_problem` has a reason.
inline void expect_device() {
  if (const auto problem = device_problem()) throw UsageError(*problem);
}

/// Of the current device.
inline int device_attribute(cudaDeviceAttr attribute) {
  int device = 0;
  int value = 0;
  check(cudaGetDevice(&device), "cudaGetDevice");
  check(cudaDeviceGetAttribute(&value, attribute, device), "cudaDeviceGetAttribute");
  return value;
}

inline cudaStream_t native(Stream stream) { return static_cast<cudaStream_t>(stream.handle); }

}  // namespace thermoe::cuda
