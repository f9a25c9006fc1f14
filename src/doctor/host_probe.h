// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// cpu.model, cpu.features (as the kernel lists them), cpu.kernels (which path the kernels will
/// take: their own choice, not derived from the features) and memory.
Section probe_host(const HostSystem& machine);

/// host.rapl and host.hwmon: the host's power and temperature sensors.
Section probe_host_sensors(const HostSystem& machine);

}  // namespace thermoe::doctor
