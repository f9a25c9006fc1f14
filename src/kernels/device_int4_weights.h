// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/device_memory.h"
#include "kernels/int4_weights.h"

namespace thermoe {

/// A copy of int4 weights on the current CUDA device: the same bytes in the same layout.
class DeviceInt4Weights {
 public:
  DeviceInt4Weights() = default;
  /// Copies on the default stream. Throws as DeviceMemory does.
  explicit DeviceInt4Weights(const Int4View& host);

  /// Of device memory; valid while this object lives, also after it was moved from here.
  const Int4View& view() const { return view_; }

 private:
  DeviceMemory words_;
  DeviceMemory scales_;
  DeviceMemory zero_points_;
  Int4View view_{};
};

}  // namespace thermoe
