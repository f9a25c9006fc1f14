// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// torch (versions, where from) and torch.cuda (whether its CUDA half can be loaded here; nothing
/// is loaded to find out). `driver_cuda` as in probe_cuda.
Section probe_torch(const HostSystem& machine, std::optional<int> driver_cuda);

}  // namespace thermoe::doctor
