// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cuda_runtime.h>

#include "kernels/cuda/check.h"

// Programmatic dependent launch: a kernel starts while the one before it in the stream still runs,
// and waits for it only where it needs its results. Before compute capability 9.0 all of this does
// nothing: kernels follow each other as usual.
namespace thermoe::cuda {

/// All that the kernels before this one wrote is visible afterwards. Every block has to call it:
/// whoever waits for this kernel then knows that those before it are done too.
__device__ inline void wait_for_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

/// Lets the next kernel start once all blocks have said so, or are done.
__device__ inline void let_next_start() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

/// Where a kernel runs.
struct LaunchShape {
  dim3 grid;
  dim3 block;
  std::size_t shared_bytes =
      0;  ///< of dynamic shared memory; above 48 KiB the kernel must allow it
};

/// Launches a kernel that calls wait_for_previous before it touches what others write.
template <class... Parameters, class... Arguments>
void launch_dependent(const char* name, void (*kernel)(Parameters...), const LaunchShape& shape,
                      cudaStream_t stream, const Arguments&... arguments) {
  const int major = device_attribute(cudaDevAttrComputeCapabilityMajor);
  cudaLaunchAttribute attribute{};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = stream;
  config.attrs = &attribute;
  config.numAttrs = major >= 9 ? 1 : 0;
  check(cudaLaunchKernelEx(&config, kernel, Parameters(arguments)...), name);
}

}  // namespace thermoe::cuda
