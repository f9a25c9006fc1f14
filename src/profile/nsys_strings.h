// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "profile/sqlite_file.h"

namespace thermoe {

/// The texts of these ids of StringIds; what the table does not have is left out. One pass, however
/// the table is keyed.
std::unordered_map<std::int64_t, std::string> nsys_strings(
    const SqliteFile& file, const std::unordered_set<std::int64_t>& ids);

}  // namespace thermoe
