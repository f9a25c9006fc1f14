// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "cli/doctor/finding.h"
#include "cli/doctor/machine.h"

namespace thermoe::doctor {

/// cupti: by the loader's own search, next to the toolkits, next to LibTorch.
Finding probe_cupti(const Machine& machine);

/// `below` in each folder where a CUDA toolkit may be, the likeliest first.
std::vector<std::string> cuda_folders(const Machine& machine, const std::string& below);

}  // namespace thermoe::doctor
