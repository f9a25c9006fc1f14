// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "profile/ops/op_work.h"

namespace thermoe {

/// The ops of the CUDA backend on random data of the current device. Weights of neighbouring points
/// are shared.
class DeviceWorks {
 public:
  /// Throws as `describe_device` does.
  explicit DeviceWorks(std::uint64_t seed);
  ~DeviceWorks();

  /// Its data is there when it returns. Requires a point for which `op_problem(Backend::kCuda,
  /// ...)` has none. Throws CudaError where the device has no room.
  OpWork make(const OpPoint& point);

 private:
  struct Parts;
  const std::unique_ptr<Parts> parts_;
};

}  // namespace thermoe
