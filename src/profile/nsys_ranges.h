// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "profile/op_ranges.h"
#include "profile/sqlite_file.h"

namespace thermoe {

/// The NVTX ranges of one domain of an nsys export.
struct NsysRanges {
  OpRanges ranges{};
  std::vector<std::string> names{};  ///< by OpRange::name
  std::string domain{};
};

/// Reads the ranges of the domain `wanted`, else of `kOwnDomain` where the export has it, else of
/// the default one. Empty where the export has no NVTX_EVENTS. Throws FormatError for a domain that
/// was asked for and is not there.
NsysRanges read_nsys_ranges(const SqliteFile& file, const std::string& path,
                            const std::optional<std::string>& wanted);

}  // namespace thermoe
