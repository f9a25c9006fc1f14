// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "doctor/finding.h"
#include "doctor/host_system.h"

namespace thermoe::doctor {

/// cupti: by the loader's own search, next to the toolkits, next to LibTorch.
Finding probe_cupti(const HostSystem& machine);

/// `below` in each folder where a CUDA toolkit may be, the likeliest first.
std::vector<std::string> cuda_folders(const HostSystem& machine, const std::string& below);

}  // namespace thermoe::doctor
