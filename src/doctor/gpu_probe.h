// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "doctor/finding.h"
#include "doctor/host_system.h"
#include "telemetry/nvml_probe.h"

namespace thermoe::doctor {

/// Asks NVML everything once; absent if it does not answer within `patience`. Then a thread stays
/// behind, stuck in the driver, until the process ends.
std::optional<NvmlProbe> ask_nvml(const std::string& library, std::chrono::milliseconds patience);

/// gpu.driver (the kernel's half), gpu.devices (/dev/nvidia*), nvml.library (the user's half) and
/// nvml.gpu.N for each GPU. `nvml` absent: it did not answer.
Section probe_gpu(const HostSystem& machine, const std::optional<NvmlProbe>& nvml);

/// Version of the loaded NVIDIA kernel driver, "580.65.06".
std::optional<std::string> kernel_driver_version(const HostSystem& machine);

}  // namespace thermoe::doctor
