// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "kernels/backend.h"
#include "tensor.h"

namespace thermoe::torch_ops {

/// For as long as a call of an op lasts: torch's current stream of the tensor's device, with that
/// device as the current one. On the CPU nothing, and a null stream.
class DeviceCall {
 public:
  /// Throws UsageError, with the remedy, for kCuda in a package that was built without.
  DeviceCall(Backend backend, const Tensor& tensor);
  ~DeviceCall();
  DeviceCall(const DeviceCall&) = delete;
  DeviceCall& operator=(const DeviceCall&) = delete;

  Stream stream() const { return stream_; }

 private:
  Stream stream_{nullptr};
  void* guard_ = nullptr;
};

/// Throws as DeviceCall does, before any tensor is looked at.
void expect_built_for(Backend backend);

}  // namespace thermoe::torch_ops

/// For thermoe.ops, by ctypes: whether this library has the ops of CUDA devices.
extern "C" __attribute__((visibility("default"))) bool thermoe_built_with_cuda();
