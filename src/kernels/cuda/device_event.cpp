// SPDX-License-Identifier: Apache-2.0
#include "kernels/device_event.h"

#include "kernels/cuda/check.h"

namespace thermoe {
namespace {

cudaEvent_t native(void* handle) { return static_cast<cudaEvent_t>(handle); }

}  // namespace

DeviceEvent::DeviceEvent() {
  cuda::expect_device();
  cudaEvent_t event = nullptr;
  cuda::check(cudaEventCreateWithFlags(&event, cudaEventBlockingSync), "cudaEventCreate");
  handle_.reset(event);
}

void DeviceEvent::Destroy::operator()(void* handle) const { cudaEventDestroy(native(handle)); }

void DeviceEvent::record(Stream stream) {
  cuda::check(cudaEventRecord(native(handle_.get()), cuda::native(stream)), "cudaEventRecord");
}

bool DeviceEvent::passed() const {
  const cudaError_t result = cudaEventQuery(native(handle_.get()));
  if (result == cudaErrorNotReady) return false;
  cuda::check(result, "cudaEventQuery");
  return true;
}

void DeviceEvent::wait() const {
  cuda::check(cudaEventSynchronize(native(handle_.get())), "cudaEventSynchronize");
}

Seconds DeviceEvent::since(const DeviceEvent& earlier) const {
  float ms = 0.0F;
  cuda::check(cudaEventElapsedTime(&ms, native(earlier.handle_.get()), native(handle_.get())),
              "cudaEventElapsedTime");
  return Seconds(1e-3 * ms);
}

}  // namespace thermoe
