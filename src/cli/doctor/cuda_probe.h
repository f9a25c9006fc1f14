// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "cli/doctor/finding.h"
#include "cli/doctor/machine.h"

namespace thermoe::doctor {

/// cuda.toolkit (nvcc), cuda.driver (whether the driver is new enough for it) and cupti.
/// `driver_cuda`: the newest CUDA of the driver, 13000 for 13.0; absent if no driver said.
Section probe_cuda(const Machine& machine, std::optional<int> driver_cuda);

}  // namespace thermoe::doctor
