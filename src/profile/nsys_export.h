// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "profile/parse_options.h"
#include "profile/parsed_profile.h"

namespace thermoe {

/// Reads what `nsys export --type sqlite` wrote, of nsys 2022 to 2026. Kernels are joined to their
/// launches by correlation id within a process, launches to the innermost NVTX range of their
/// thread in the domain of `options`. Reads 10 million kernels in under a minute and a GiB. Throws
/// FormatError for a file that is no such export, is damaged, or holds graphs without their
/// kernels.
ParsedProfile parse_nsys_export(const std::string& path, const ParseOptions& options);

}  // namespace thermoe
