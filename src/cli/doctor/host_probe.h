// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "cli/doctor/finding.h"
#include "cli/doctor/machine.h"

namespace thermoe::doctor {

/// cpu.model, cpu.features (as the kernel lists them), cpu.kernels (which path the kernels will
/// take: their own choice, not derived from the features) and memory.
Section probe_host(const Machine& machine);

/// host.rapl and host.hwmon: the host's power and temperature sensors.
Section probe_host_sensors(const Machine& machine);

}  // namespace thermoe::doctor
