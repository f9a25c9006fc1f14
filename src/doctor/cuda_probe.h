// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// cuda.toolkit (nvcc), cuda.driver (whether the driver is new enough for it) and cupti.
/// `driver_cuda`: the newest CUDA of the driver, 13000 for 13.0; absent if no driver said.
Section probe_cuda(const HostSystem& machine, std::optional<int> driver_cuda);

}  // namespace thermoe::doctor
