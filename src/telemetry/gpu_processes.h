// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace thermoe {

/// A process with a CUDA context on a GPU.
struct GpuProcess {
  unsigned pid = 0;
  std::string name{};                    ///< as NVML tells it; empty where it does not
  std::optional<std::uint64_t> bytes{};  ///< of the GPU's memory
};

/// Every process but this one that NVML sees on the GPU with that UUID; in a container it may see
/// none of them. Absent where NVML, the GPU or the list cannot be had. `library` as NvmlOptions has
/// it. May block as long as the driver does.
std::optional<std::vector<GpuProcess>> find_gpu_processes(const std::string& library,
                                                          const std::string& uuid);

}  // namespace thermoe
