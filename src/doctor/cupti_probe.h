// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// cupti: by the loader's own search, next to the toolkits, next to LibTorch.
Finding probe_cupti(const HostSystem& machine);

}  // namespace thermoe::doctor
