// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "kernels/device_event.h"
#include "kernels/device_memory.h"
#include "kernels/device_stream.h"
#include "machine/tenant/tenant_work.h"

namespace thermoe {

/// A tenant's work on a CUDA device. A unit of products is a linear layer of 14336 x 4096 int4
/// weights on 128 tokens; one of copies moves 64 MiB within the device's memory.
class DeviceTenantWork final : public TenantWork {
 public:
  /// On the calling thread's current device. Throws UsageError, with the remedy, where it cannot be
  /// used or has too little memory free.
  DeviceTenantWork();

  Seconds run(Kind kind, int units) override;

 private:
  void multiply();
  void copy();

  const DeviceStream stream_;
  DeviceEvent begin_, end_;
  DeviceMemory words_, scales_, x_, out_;
  DeviceMemory blocks_;
  std::size_t next_block_ = 0;  // to be copied
};

}  // namespace thermoe
