// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>

#include "doctor/finding.h"
#include "doctor/host_system.h"
#include "telemetry/nvml_probe.h"

namespace thermoe::doctor {

/// The answer of `ask`, which asks the driver; absent if it does not come within `patience`. Then a
/// thread stays behind inside the driver: end the process by `exit_leaving_threads`. What `ask`
/// throws is thrown here.
std::optional<NvmlProbe> ask_nvml(std::function<NvmlProbe()> ask,
                                  std::chrono::milliseconds patience);

/// gpu.driver (the kernel's half), gpu.devices (/dev/nvidia*), nvml.library (the user's half) and
/// nvml.gpu.N for each GPU. `nvml` absent: it did not answer.
Section probe_gpu(const HostSystem& machine, const std::optional<NvmlProbe>& nvml);

/// Version of the loaded NVIDIA kernel driver, "580.65.06".
std::optional<std::string> kernel_driver_version(const HostSystem& machine);

}  // namespace thermoe::doctor
