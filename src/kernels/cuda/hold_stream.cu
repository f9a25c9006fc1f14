// SPDX-License-Identifier: Apache-2.0
#include "kernels/cuda/check.h"
#include "kernels/hold_stream.h"

namespace thermoe {
namespace {

__device__ std::uint64_t device_nanoseconds() {
  std::uint64_t ns = 0;
  asm volatile("mov.u64 %0, %globaltimer;" : "=l"(ns));
  return ns;
}

__global__ void hold(std::uint64_t ns) {
  const std::uint64_t start = device_nanoseconds();
  while (device_nanoseconds() - start < ns) {
  }
}

}  // namespace

void hold_stream(Seconds time, Stream stream) {
  THERMOE_EXPECT(time.value >= 0.0 && time.value <= 1.0, "a stream is held for 0 to 1 s, not {}",
                 time.value);
  hold<<<1, 1, 0, cuda::native(stream)>>>(static_cast<std::uint64_t>(1e9 * time.value));
  cuda::check_launch("hold");
}

}  // namespace thermoe
