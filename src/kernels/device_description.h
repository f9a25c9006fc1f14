// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace thermoe {

/// The current CUDA device and how it stands.
struct DeviceDescription {
  std::string name{};
  std::string uuid{};         ///< "GPU-..." as NVML writes it: which of its GPUs this is
  std::string driver_cuda{};  ///< newest CUDA version that the driver can run: "13.0"
  bool exclusive = false;     ///< compute mode: one process at a time
  std::size_t memory = 0;     ///< bytes
  std::size_t free_memory = 0;
  std::size_t l2_cache = 0;  ///< bytes
};

/// Makes CUDA's device of that index the calling thread's current one. Throws UsageError where it
/// is not there, or as `describe_device` does.
void use_device(int index);

/// Throws UsageError, with the remedy, where no device can be used: also where its compute mode
/// lets no process, or only another one, have it.
DeviceDescription describe_device();

}  // namespace thermoe
