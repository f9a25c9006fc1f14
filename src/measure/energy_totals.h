// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "measure/measurement.h"

namespace thermoe {

/// A host reading's part in the total, by the name that the host source gives it.
enum class HostPart {
  kPackage,  ///< a CPU package, all that is in it included
  kDram,     ///< the memory beside a package: not in it
  kOther,    ///< a part of a package, the platform around it, a board's sensor: would count twice
};
HostPart host_part(std::string_view name);

/// Joules of several devices together: absent, with the reason, as soon as one of them is.
struct EnergySum {
  int devices = 0;
  std::optional<Joules> joules{};
  std::optional<Watts> mean_power{};
  std::string absent_because{};  ///< names the device
};

/// GPUs, CPU packages and DRAM each, and all together.
struct EnergyTotals {
  EnergySum gpu{};
  EnergySum cpu{};
  EnergySum dram{};
  EnergySum total{};
};
EnergyTotals energy_totals(const WindowMeasurement& window);

/// "GPU 0", by NVML's index.
std::string gpu_label(const DeviceMeasurement& gpu);

}  // namespace thermoe
