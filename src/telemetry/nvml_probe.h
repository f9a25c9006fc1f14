// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/units.h"
#include "telemetry/nvml_source.h"

namespace thermoe {

/// One reading of a GPU: whether it can be had, and if not, why (NVML's own words).
struct NvmlReadingSupport {
  std::string reading{};  ///< name of the field of GpuReading: "power_instant"
  bool available = false;
  std::string reason{};  ///< empty where available: "Not Supported", "the driver lacks nvml..."
};

/// What NVML says about one GPU when asked once. Absent: it did not say.
struct NvmlGpuProbe {
  unsigned index = 0;   ///< NVML's own, of this moment
  std::string error{};  ///< why nothing more is known (lost, no permission); empty if all is well
  std::string name{};
  std::string uuid{};
  std::string pci_bus_id{};  ///< "00000000:1B:00.0"
  std::optional<std::uint64_t> memory_total_bytes{};
  std::optional<int> compute_capability_major{};
  std::optional<int> compute_capability_minor{};
  std::optional<Watts> power_limit{};      ///< enforced now
  std::optional<Watts> power_limit_min{};  ///< what an administrator may set
  std::optional<Watts> power_limit_max{};
  std::vector<NvmlReadingSupport> readings{};  ///< every reading that NvmlSource knows
};

/// What stands between this process and the GPUs' telemetry, step by step.
struct NvmlProbe {
  std::string library{};       ///< as asked for
  std::string library_path{};  ///< the file that was loaded; empty if none was
  /// Empty if NVML works; otherwise the step that failed and its cause.
  std::string error{};
  std::string remedy{};                      ///< what to do about `error`; empty with it
  std::vector<std::string> missing{};        ///< functions that this library lacks
  std::string driver_version{};              ///< "580.65.06"; empty where unknown
  std::string nvml_version{};                ///< "13.580.65.06"
  std::optional<int> cuda_driver_version{};  ///< newest CUDA of the driver: 13000 is 13.0
  std::vector<NvmlGpuProbe> gpus{};
};

/// Loads NVML, asks it everything once and shuts it down (tens of milliseconds a GPU). Absence of
/// anything is in the answer: throws nothing but std::bad_alloc. May block as long as the driver
/// does.
NvmlProbe probe_nvml(const NvmlOptions& options);

}  // namespace thermoe
